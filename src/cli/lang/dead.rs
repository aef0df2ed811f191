//! What `ltcgw dead` shows, in Chinese: headings, lines of a page, what became of a decision.

use crate::model::phrase::Phrase;

pub const PHRASES: &[Phrase] = &[
    ("no dead letters", "没有死信"),
    // Headings; `>` is right-aligned.
    ("delivery>", "推送编号>"),
    ("tells of", "内容"),
    ("yuan>", "元>"),
    ("attempts>", "尝试次数>"),
    ("dead since", "成为死信时间"),
    // The list.
    (
        "{} · {} · {} dead · {} yuan",
        "{0} · {1} · 死信{2}笔 · {3}元",
    ),
    (
        "reversal of packet {} records {} to {}",
        "数据包{0}第{1}至{2}条的冲正",
    ),
    ("packet {} records {} to {}", "数据包{0}第{1}至{2}条"),
    (
        "… and {} more of this cause (--limit {})",
        "……同一原因还有{0}笔（--limit {1}）",
    ),
    (
        "only the oldest {} are counted here; `ltcgw destinations list` has the numbers of all",
        "此处只统计最早的{0}笔；全部数量见`ltcgw destinations list`",
    ),
    (
        "times are Asia/Shanghai; `ltcgw dead show DELIVERY` has every attempt",
        "时间为北京时间；历次尝试见`ltcgw dead show 推送编号`",
    ),
    // One of them.
    ("delivery {} to {}: dead", "推送{0}，目标{1}：死信"),
    ("delivery {} to {}: delivered", "推送{0}，目标{1}：已送达"),
    ("delivery {} to {}: ready", "推送{0}，目标{1}：待推送"),
    ("delivery {} to {}: leased", "推送{0}，目标{1}：推送中"),
    ("delivery {} to {}: in_doubt", "推送{0}，目标{1}：结果不明"),
    (
        "delivery {} to {}: superseded",
        "推送{0}，目标{1}：已被取代",
    ),
    (
        "reversal of {}, packet {}, records {} to {}: {} lines, {} yuan",
        "{0}的冲正，数据包{1}，第{2}至{3}条：{4}行，{5}元",
    ),
    (
        "{}, packet {}, records {} to {}: {} lines, {} yuan",
        "{0}，数据包{1}，第{2}至{3}条：{4}行，{5}元",
    ),
    (
        "{}, removal of {} version {}, change {}",
        "{0}，注销{1}，版本{2}，变更{3}",
    ),
    ("{}, {} version {}, change {}", "{0}，{1}，版本{2}，变更{3}"),
    (
        "{}, deduction cycle {}, batch {}: {} people, {} yuan",
        "{0}，代扣周期{1}，第{2}批：{3}人，{4}元",
    ),
    ("reference none yet", "业务流水号：尚无"),
    ("reference {}", "业务流水号：{0}"),
    ("queued {}", "排队时间：{0}"),
    ("dead {}", "成为死信：{0}"),
    ("delivered {}", "送达时间：{0}"),
    ("superseded {}", "被取代时间：{0}"),
    ("last answer: none", "最后应答：无"),
    ("last answer: {}", "最后应答：{0}"),
    (
        "to {}. {}: {} times the same",
        "至{0}. {1}：相同情况共{2}次",
    ),
    ("{} send    {}", "{0} 发送 {1}"),
    ("{} inquire {}", "{0} 查询 {1}"),
    // Outcomes of an attempt.
    ("accepted{}", "已接收{0}"),
    ("duplicate{}", "重复{0}"),
    ("rejected{}", "被拒{0}"),
    ("retry_later{}", "稍后再发{0}"),
    ("not_reached{}", "未放行{0}"),
    ("not_sent{}", "未发出{0}"),
    ("unknown{}", "结果不明{0}"),
    (
        "under way, or the instance that made it is gone",
        "进行中，或发起的实例已不在",
    ),
    // Decisions.
    (
        "{} deliveries will be tried again; those of unknown outcome are asked about first",
        "{0}笔将重新推送；结果不明的先行查询",
    ),
    (
        "delivery {}: will be tried again; one of unknown outcome is asked about first",
        "推送{0}：将重新推送；结果不明的先行查询",
    ),
    (
        "delivery {}: will be sent again under the same reference",
        "推送{0}：将以原流水号重发",
    ),
    ("delivery {}: counts as delivered", "推送{0}：视为已送达"),
    (
        "there is no delivery {}; see `ltcgw dead list`",
        "没有编号为{0}的推送；见`ltcgw dead list`",
    ),
    (
        "delivery {} is {}, not dead; there is nothing to decide",
        "推送{0}的状态为{1}，不是死信，无须处理",
    ),
    (
        "delivery {} was not taken by the partner ({}); only one whose outcome is unknown can be declared delivered. Retry it instead",
        "推送{0}未被对方接收（{1}）；只有结果不明的才能视为已送达，请改为重新推送",
    ),
];

#[cfg(test)]
mod tests {
    use crate::model::phrase::wholly_chinese;

    #[test]
    fn a_page_and_its_attempts_are_chinese() {
        for (english, chinese) in [
            (
                "delivery 7 to medical-core: dead",
                "推送7，目标medical-core：死信",
            ),
            (
                "contributions, packet 4, records 1 to 3: 3 lines, 540.00 yuan",
                "contributions，数据包4，第1至3条：3行，540.00元",
            ),
            (
                "1. 2026-11-27 10:00:10 send    not_sent connection refused",
                "1. 2026-11-27 10:00:10 发送 未发出 connection refused",
            ),
            (
                "to 360. 2026-11-27 11:00:00: 360 times the same",
                "至360. 2026-11-27 11:00:00：相同情况共360次",
            ),
            (
                "deductions, deduction cycle 9, batch 12: 2000 people, 18000.00 yuan",
                "deductions，代扣周期9，第12批：2000人，18000.00元",
            ),
        ] {
            assert_eq!(
                wholly_chinese(super::PHRASES, english).as_deref(),
                Some(chinese)
            );
        }
    }
}
