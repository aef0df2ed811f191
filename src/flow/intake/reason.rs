//! Reasons of refusals in both languages: Chinese first, since clerks of the bureau read receipts, then
//! the English sentence that logs and programmers know.
//!
//! One table of every reason a line or packet can be refused for. Where code says a reason that the table
//! does not know, the receipt still begins with a general Chinese sentence.

use crate::model::phrase::{self, Phrase};

/// Characters of a reason at most. No public source states a length of `REMSG` and `RKHJYSBYY`; 500 is an
/// assumption, and the Chinese part comes first, so that a receiver that cuts keeps it.
pub const CHARS_MAX: usize = 500;
/// Between the Chinese and the English sentence.
pub const BETWEEN: &str = " · ";

/// What a line was refused for that the table does not know.
const SOME_FAULT: &str = "内容不符合要求";

/// `{}` stands for any text; in the Chinese sentence `{0}` is the first of them. More specific ones come first.
const REASONS: &[Phrase] = &[
    // An element: whether it is there, and once.
    ("is missing or empty; it is required", "缺少必填内容"),
    (
        "is missing or empty before the first record; {}",
        "首条记录之前缺少报文类型",
    ),
    ("is missing", "缺少必填内容"),
    (
        "occurs more than once in the record; expected once",
        "同一记录中重复出现",
    ),
    (
        "occurs more than once in the head; expected once",
        "报文头中重复出现",
    ),
    (
        "contains something other than text; expected text only",
        "含有文本以外的内容",
    ),
    (
        "does not say the same as the element it must agree with",
        "与应当一致的数据项内容不一致",
    ),
    (
        "has {} characters; at most {} are taken",
        "共{0}个字符，最多受理{1}个",
    ),
    ("contains the control character {}", "含有控制字符{0}"),
    (
        "expected a record number of at most 18 digits",
        "记录序号应为不超过18位的数字",
    ),
    (
        "{}holds the number of a person's certificate; {}",
        "含有个人证件号码，应为报送方自己的编号",
    ),
    // Codes.
    ("is not a known code; {}", "代码不在受理范围内"),
    (
        "means {}, which is now {}; send {}, or have {}",
        "代码含义为“{0}”，现为{1}，请报送{1}",
    ),
    (
        "means {}, which is not taken here {}",
        "代码含义为“{0}”，此处不受理",
    ),
    (
        "is not mapped to a six-digit division code; {}",
        "未对应六位行政区划代码",
    ),
    (
        "expected 1 or 0, true or false, Y or N",
        "应为1或0、true或false、Y或N",
    ),
    // Numbers.
    ("expected an amount in yuan {}", "应为以元为单位的金额"),
    (
        "expected an amount in whole fen {}",
        "应为以分为单位的整数金额",
    ),
    ("expected a whole number {}", "应为整数"),
    ("expected a decimal {}", "应为小数，如0.0695"),
    ("expected a percentage {}", "应为百分数，如6.95"),
    (
        "has the separator `{}` between its digits; {}",
        "数字之间含有分隔符“{0}”",
    ),
    ("has digits other than 0 to 9, {}", "含有全角等非0至9的数字"),
    (
        "has an exponent that is no whole number {}",
        "指数不是整数，请不要用指数书写",
    ),
    ("has more than two decimals{}", "小数超过两位"),
    ("has more than four decimals{}", "小数超过四位"),
    ("has more than six decimals{}", "小数超过六位"),
    ("is no whole number{}", "不是整数"),
    ("is not in whole fen{}", "不是以分为单位的整数"),
    ("is longer than 14 digits{}", "超过14位数字"),
    ("is longer than 15 digits{}", "超过15位数字"),
    (
        "has more than {} digits before the point{}",
        "整数部分超过{0}位",
    ),
    ("is larger than can be right", "数值过大"),
    ("is larger than {} yuan{}", "金额超过{0}元"),
    // Days and months.
    ("expected a day such as {}", "应为日期，如20211031"),
    ("expected a date such as {}", "应为日期，如{0}"),
    ("expected a month such as {}", "应为月份，如202110"),
    (
        "has a name of a month, a day or a zone in it; {}",
        "日期中含有月份、星期或时区名称",
    ),
    (
        "does not begin with a year of four digits, {}",
        "日期不以四位年份开头",
    ),
    ("can mean more than one day; {}", "日期有多种含义"),
    (
        "is no day of the calendar from 1900 to 2199, {}",
        "不是有效的日期或时间",
    ),
    ("has no time of the day; {}", "缺少时间"),
    // What a line says.
    (
        "contribution month {} is out of range; taken are {} to {}",
        "费款所属期{0}超出受理范围（{1}至{2}）",
    ),
    (
        "the treasury has it on {}, which has not come; {}",
        "入库日期{0}尚未到来",
    ),
    (
        "district {} does not lie in pooling area {}",
        "区县{0}不属于统筹区{1}",
    ),
    (
        "nobody is told of the {} fund of pooling area {}: {}",
        "统筹区{1}的基金没有接收系统",
    ),
    (
        "no employer rate of pooling area {} is in force in {}; {}",
        "统筹区{0}在{1}没有生效的单位费率",
    ),
    (
        "stated rate {} is not in force in {}; in force is {} ({}",
        "申报费率{0}在{1}未生效，生效的是{2}",
    ),
    ("is negative; expected zero or more{}", "不得为负数"),
    ("is paid in, in a refund; {}", "退费不得为正数"),
    (
        "a {} of {} yuan; expected zero or a negative amount",
        "退费金额为{1}元，应为零或负数",
    ),
    (
        "a {} payment of {} yuan; expected zero or more{}",
        "缴费金额为{1}元，应为零或正数",
    ),
    (
        "a {} payment on a base of {} yuan; expected zero or more",
        "缴费基数为{1}元，应为零或正数",
    ),
    (
        "is a kind of payment the ledger does not know",
        "账本不认识的缴费类型",
    ),
    (
        "the line's amounts add up to more than can be accounted for",
        "该行金额合计过大",
    ),
    // A line beside other lines.
    (
        "this packet revokes the line of this detail number; {}",
        "本报文已撤销该明细号，更正的明细须用新编号",
    ),
    (
        "this detail number was posted by packet {} and revoked since; {}",
        "该明细号已由报文{0}入账并已撤销，更正的明细须用新编号",
    ),
    (
        "this detail number was posted by packet {} with other content; {}",
        "该明细号已由报文{0}入账，内容不同",
    ),
    (
        "no line of this detail number is posted, so there is nothing to revoke",
        "没有该明细号的入账明细，无可撤销",
    ),
    (
        "is the record of record {} once more, with the same content; it counts once",
        "与第{0}条记录重复且内容相同，只计一次",
    ),
    (
        "{} occurs twice with the same content, here and in record {}: {}",
        "{0}与第{1}条记录相同且内容相同，两条均不受理",
    ),
    (
        "{} occurs twice with other content, here and in record {}: {}",
        "{0}与第{1}条记录相同而内容不同，两条均不受理",
    ),
    (
        "occurs twice with other content, here and in record {}: {}",
        "与第{0}条记录标识相同而内容不同，两条均不受理",
    ),
    (
        "states other amounts than the line it revokes, {}",
        "金额与被撤销的明细不一致",
    ),
    // A packet's number, type and size.
    (
        "packet number {} was used for other content; {}",
        "报文编号{0}已用于其他内容",
    ),
    (
        "packet {} cannot be replaced: packet {} has revoked lines of it; {}",
        "报文{0}不能替换：报文{1}已撤销其中的明细",
    ),
    (
        "{}is `{}` ({}), a type that is known and not taken here; taken: {}",
        "报文类型{1}（{2}）此处不受理",
    ),
    (
        "{}is `{}`, a type this endpoint does not take; taken: {}",
        "报文类型{1}此处不受理",
    ),
    (
        "{}announces {} records; at most {} are taken in one packet",
        "报文声明{1}条记录，每个报文最多{2}条",
    ),
    (
        "{}the packet has more than {} records; {}",
        "报文超过{1}条记录，请分成多个报文",
    ),
    (
        "{}the packet has no record; expected at least one",
        "报文没有记录",
    ),
    (
        "{}says {} records; the packet has {}",
        "报文头声明{1}条记录，实际{2}条",
    ),
    (
        "{}is `{}`; expected the number of records",
        "记录数不是数字",
    ),
    (
        "the packet's amounts add up to more than can be accounted for; {}",
        "报文金额合计过大，请分成多个报文",
    ),
    // The document.
    ("byte {} is not valid {}; {}", "第{0}个字节不符合{1}编码"),
    (
        "the document says {} but its bytes are UTF-8; {}",
        "报文声明{0}编码，实际为UTF-8",
    ),
    (
        "the document declares {}; this endpoint takes {}",
        "报文声明{0}编码，此处只受理{1}",
    ),
    (
        "the document declares the encoding `{}`; {}",
        "不支持所声明的编码",
    ),
    ("the document looks like UTF-16; {}", "不支持UTF-16编码"),
    ("{}the document ends too early, {}", "报文不完整"),
    ("{}the document is empty; {}", "报文为空"),
    (
        "the document is longer than {} bytes; {}",
        "报文超过{0}字节",
    ),
    ("{}is not valid JSON{}", "不是有效的JSON"),
    ("a SOAP envelope came; {}", "收到SOAP信封，应为报文本身"),
    ("the root element is `{}`; expected {}", "根元素不正确"),
    (
        "`{}` comes after the first record; {}",
        "报文头应在记录之前",
    ),
    ("`{}` occurs twice in the head{}", "报文头中有重复的元素"),
    (
        "no record within the first {} bytes{}",
        "前{0}字节内没有记录",
    ),
    (
        "a {} is longer than {} bytes{}",
        "文本、标签或行超过{1}字节",
    ),
    // The body.
    ("nothing came for {} seconds; {}", "{0}秒内未收到数据"),
    (
        "the body came at less than {} bytes a second; {}",
        "传输速度低于每秒{0}字节",
    ),
    ("the body broke off: {}", "传输中断，请重新发送"),
    (
        "the body is larger than {} bytes; {}",
        "报文超过{0}字节，请分成多个报文",
    ),
    (
        "the decompressed body is larger than {} bytes; {}",
        "解压后超过{0}字节，请分成多个报文",
    ),
    ("the body is not gzip although {}", "报文不是gzip格式"),
    (
        "after the gzip data come bytes {}",
        "gzip数据之后有多余字节",
    ),
    (
        "the gzip data have more than {} members; {}",
        "gzip数据分段过多",
    ),
    (
        "the body unpacks to more than {} times its size; {}",
        "解压后超过压缩大小的{0}倍，请不压缩发送",
    ),
    (
        "the body was not complete after {} seconds; {}",
        "{0}秒内未传输完毕",
    ),
    (
        "what this partner has sent and is not posted yet takes all the room it may have; {}",
        "贵方尚未处理完的报文已占满可用空间，请待其他报文答复后再发",
    ),
    (
        "more requests at once than the {} a partner may have under way; {}",
        "贵方同时处理的请求已达{0}个上限，请待其他请求答复后再发",
    ),
    (
        "more requests than agreed; {}",
        "请求超过约定速率，请稍后重发",
    ),
    (
        "too many requests are under way; {}",
        "网关处理中的请求过多，请稍后重发",
    ),
    (
        "the gateway cannot take the body now; {}",
        "网关暂时无法接收，请稍后重发",
    ),
];

/// The reason of a refused line, Chinese first.
pub fn of_line(english: &str) -> String {
    both(chinese(english).as_deref().unwrap_or(SOME_FAULT), english)
}

/// The reason why a packet is refused whole with this HTTP status, Chinese first.
pub fn of_packet(status: u16, english: &str) -> String {
    // `ELEMENT: reason`, where an element is to blame.
    let found = chinese(english).or_else(|| {
        english
            .split_once(": ")
            .and_then(|(_, reason)| chinese(reason))
    });
    let general = match status {
        408 => "传输过慢",
        409 => "与已收报文冲突",
        413 => "报文过大",
        429 => "请求过多，请稍后重发",
        415 => "不支持的内容编码",
        500.. => "网关暂时无法接收，请稍后重发",
        _ => "报文格式不正确，整包退回",
    };
    both(found.as_deref().unwrap_or(general), english)
}

fn both(chinese: &str, english: &str) -> String {
    let whole = format!("{chinese}{BETWEEN}{english}");
    if whole.chars().count() <= CHARS_MAX {
        return whole;
    }
    whole.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

/// The Chinese sentence of an English one that the table knows.
fn chinese(english: &str) -> Option<String> {
    phrase::chinese(REASONS, english)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_begins_in_chinese_with_what_was_found_and_goes_on_in_english() {
        for (english, chinese) in [
            (
                "contribution month 2099-01 is out of range; taken are 2010-01 to 2027-11",
                "费款所属期2099-01超出受理范围（2010-01至2027-11）",
            ),
            (
                "stated rate 7.3 % is not in force in 2021-10; in force is 6.95 % (450100/employer/2021-03)",
                "申报费率7.3 %在2021-10未生效，生效的是6.95 %",
            ),
            (
                "this detail number was posted by packet P1 and revoked since; a corrected line needs a new number",
                "该明细号已由报文P1入账并已撤销，更正的明细须用新编号",
            ),
            (
                "AAZ083 occurs twice with other content, here and in record 2: is it the line's number?",
                "AAZ083与第2条记录相同而内容不同，两条均不受理",
            ),
            (
                "occurs twice with other content, here and in record 2: which of them is right?",
                "与第2条记录标识相同而内容不同，两条均不受理",
            ),
            (
                "has more than two decimals; amounts are whole fen",
                "小数超过两位",
            ),
            ("said by nobody", SOME_FAULT),
        ] {
            assert_eq!(of_line(english), format!("{chinese} · {english}"));
        }
        assert_eq!(
            of_packet(400, "JLS: says 3 records; the packet has 2"),
            "报文头声明3条记录，实际2条 · JLS: says 3 records; the packet has 2"
        );
        assert_eq!(
            of_packet(400, "AAB: something new"),
            "报文格式不正确，整包退回 · AAB: something new"
        );
    }

    #[test]
    fn a_reason_fits_into_its_element_and_the_chinese_part_stays_whole() {
        let reason = of_line(&format!(
            "is not a known code; taken: {}",
            "450103, ".repeat(200)
        ));
        assert_eq!(reason.chars().count(), CHARS_MAX);
        assert!(
            reason.starts_with("代码不在受理范围内 · is not a known code; ")
                && reason.ends_with('…'),
            "{reason}"
        );
    }

    #[test]
    fn every_row_of_the_table_can_be_reached_and_can_be_written_in_gbk() {
        assert_eq!(phrase::faults(REASONS), [""; 0]);
        for (_, sentence) in REASONS {
            assert!(!encoding_rs::GBK.encode(sentence).2, "{sentence}");
        }
    }
}
