//! What operators read in Chinese: with `--lang zh`, or in a Chinese locale.

use std::process::Command;

use crate::support::{Place, packet, run, until};

fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_every_line_in_chinese_and_has_the_same_lines_as_in_english() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let (english, chinese) = (
        place.run(&["doctor"]).await,
        place.run(&["doctor", "--lang", "zh"]).await,
    );
    assert_eq!(english.status.code(), chinese.status.code());
    let marks = |text: &str| {
        text.lines()
            .filter_map(|line| {
                line.trim_start()
                    .chars()
                    .next()
                    .filter(|mark| "✔!✘".contains(*mark))
            })
            .collect::<String>()
    };
    assert_eq!(marks(&english.out), marks(&chinese.out), "{}", chinese.out);
    assert!(marks(&english.out).len() > 20, "{}", english.out);
    let plain: Vec<&str> = chinese
        .out
        .lines()
        .filter(|line| line.trim_start().starts_with(['✔', '!', '✘']) && !is_chinese(line))
        .collect();
    assert_eq!(plain, [""; 0], "{}", chinese.out);
    for expected in ["服务器证书", "接受我方证书", "可以启动"] {
        assert!(
            chinese.out.contains(expected),
            "{expected}: {}",
            chinese.out
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_and_decided_about_in_chinese() {
    let place = Place::new();
    let serving = place.serve().await;
    assert_eq!(
        place.run(&["dead", "list", "--lang", "zh"]).await.out,
        "没有死信\n"
    );
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let dead = "UPDATE delivery SET state = 'dead', answer = 'no such employer', outcome = 'rejected', settled_at = now(), leased_until = NULL, \
                lease_token = NULL, under_way = false WHERE destination = 'medical-core' RETURNING delivery_id";
    let id = until("a dead letter", async || {
        Some(place.value(dead).await).filter(|id| !id.is_empty())
    })
    .await;
    let list = place.run(&["dead", "list", "--lang=zh"]).await.out;
    for expected in [
        "medical-core · contributions · 死信1笔 · ",
        "推送编号",
        "成为死信时间",
        "数据包P1第1至2条",
        "no such employer",
        "时间为北京时间",
    ] {
        assert!(list.contains(expected), "{expected}: {list}");
    }
    let shown = place.run(&["--lang", "zh", "dead", "show", &id]).await.out;
    assert!(
        shown.contains(&format!("推送{id}，目标medical-core：死信"))
            && shown.contains("最后应答：no such employer"),
        "{shown}"
    );
    let refused = place
        .run(&["dead", "retry", &id, "--delivered", "--lang", "zh"])
        .await;
    assert!(
        !refused.status.success() && refused.err.contains("只有结果不明的才能视为已送达"),
        "{}",
        refused.err
    );
    let done = place.run(&["dead", "retry", &id, "--lang", "zh"]).await;
    assert_eq!(
        done.out,
        format!("推送{id}：将重新推送；结果不明的先行查询\n")
    );
    let none = place.run(&["dead", "show", "404", "--lang", "zh"]).await;
    assert!(none.err.contains("没有编号为404的推送"), "{}", none.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_speaks_the_language_of_the_locale_unless_told_otherwise() {
    let help = |locale: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ltcgw"));
        command
            .args(arguments)
            .env_remove("LC_ALL")
            .env_remove("LC_MESSAGES")
            .env("LANG", locale);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(help("zh_CN.UTF-8", &["--help"]).contains("须人工处理的推送（死信）"));
    assert!(help("zh_CN.UTF-8", &["help", "deduct"]).contains("逐人计算，不发送任何内容"));
    assert!(help("en_US.UTF-8", &["--help"]).contains("Deliveries that need a person"));
    assert!(
        help("zh_CN.UTF-8", &["--lang", "en", "--help"]).contains("Deliveries that need a person")
    );
    let mistaken = run(&["doctor", "--lang", "fr"]).await;
    assert!(
        mistaken.status.code() == Some(2) && mistaken.err.contains("[possible values: en, zh]"),
        "{}",
        mistaken.err
    );
}
