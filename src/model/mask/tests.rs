//! What is masked and what stays readable, as tables with the right values.

use super::{content, is_certain, text, word};

/// Masked: text, and what is shown.
const MASKED: &[(&str, &str)] = &[
    // Resident ids: alone, with a wrong check character, small x, glued, in groups, full-width, with what cannot be seen.
    ("人员11010519491231002X不存在", "人员[id]不存在"),
    ("11010519491231002x", "[id]"),
    ("110105194912310021", "[id]"),
    ("id11010519491231002X,", "id[id],"),
    ("99911010519491231002X", "999[id]"),
    ("20211101450103198001011014", "20211101[id]"),
    ("450103198001011014000077", "[id]000077"),
    ("110105 19491231 002X", "[id]"),
    ("110105-1949-1231-002X", "[id]"),
    ("110105.19491231.002X", "[id]"),
    ("1 1 0 1 0 5 1 9 4 9 1 2 3 1 0 0 2 X", "[id]"),
    ("110105 19491231 0021", "[id]"),
    ("４５０１０３１９８００１０１１０１４", "[id]"),
    ("４５０１０３１９８００２０２００６Ｘ", "[id]"),
    ("450103１98001０11014", "[id]"),
    ("450103\u{200b}19800101\u{200b}1014", "[id]"),
    ("11010519491231002X和450103198001011014", "[id]和[id]"),
    ("45010319800101101413800138000", "[id][phone]"),
    // Old ids, permits, foreigners.
    ("450103800101001", "[id]"),
    ("810000198003030019", "[id]"),
    ("820000199001010018", "[id]"),
    ("830000198004040028", "[id]"),
    ("945840198005050011", "[id]"),
    // Phones.
    ("13812345678", "[phone]"),
    ("+86 138 1234 5678", "[phone]"),
    ("+8613812345678", "[phone]"),
    ("8613812345678", "[phone]"),
    ("0086-138-1234-5678", "[phone]"),
    ("00861381234 5678", "[phone]"),
    ("138-1234-5678", "[phone]"),
    ("138 1234 5678", "[phone]"),
    ("tel13812345678", "tel[phone]"),
    ("１３８１２３４５６７８", "[phone]"),
    ("0771-7654321", "[phone]"),
    ("(0771) 7654321", "([phone]"),
    ("07717654321", "[phone]"),
    ("010-12345678", "[phone]"),
    ("+86 771 7654321", "[phone]"),
    // Passports and permits to travel.
    ("护照E12345678无效", "护照[passport]无效"),
    ("G12345678", "[passport]"),
    ("e12345678", "[passport]"),
    ("EA1234567", "[passport]"),
    ("K1234567", "[passport]"),
    ("H1234567801", "[passport]"),
    ("M12345678", "[passport]"),
    // Bank cards.
    ("6222021234567890128", "[card]"),
    ("6222 0212 3456 7890 128", "[card]"),
    ("4111111111111111", "[card]"),
    // Numbers behind labels.
    ("台胞证件号码：12345678", "台胞证件号码：[number]"),
    ("人员编号45010300987654321", "人员编号[number]"),
    ("psn_no=45010300987654321", "psn_no=[number]"),
    // Names behind labels and keys.
    ("姓名：欧阳翠花", "姓名：[name]"),
    ("参保人张三不存在", "参保人[name]不存在"),
    ("参保人员李小明已退休", "参保人员[name]已退休"),
    ("负责人: 诸葛红, 缺章", "负责人: [name], 缺章"),
    ("经办人Zhang Xiaoming", "经办人[name]"),
    ("姓名=买买提·艾力", "姓名=[name]"),
    ("name=张三", "name=[name]"),
    ("name: Zhang San, age", "name: [name], age"),
    (
        r#"{"name":"张三","code":1}"#,
        r#"{"name":"[name]","code":1}"#,
    ),
    (
        r#"{\"psn_name\":\"上官铁柱\"}"#,
        r#"{\"psn_name\":\"[name]\"}"#,
    ),
    (r#"{"psn_name":"\u5f20\u4e09"}"#, r#"{"psn_name":"[name]"}"#),
    (r#"{"certno": "A123456789"}"#, r#"{"certno": "[passport]"}"#),
    (r#"{"certno": "12345678"}"#, r#"{"certno": "[number]"}"#),
    ("<XM>慕容复</XM>", "<XM>[name]</XM>"),
    (
        "<aac003><![CDATA[王五]]></aac003>",
        "<aac003><![CDATA[[name]]]></aac003>",
    ),
    ("contact=li si;", "contact=[name];"),
    // Names beside numbers.
    ("张三(11010519491231002X)不存在", "[name]([id])不存在"),
    ("人员张三110105194912310021", "人员[name][id]"),
    (
        "张三的身份证号11010519491231002X有误",
        "[name]的身份证号[id]有误",
    ),
    ("11010519491231002X 欧阳翠花", "[id] [name]"),
    ("13812345678李小明未登记", "[phone][name]未登记"),
    ("Zhang San E12345678", "[name] [passport]"),
    ("WANG XIAOMING, 11010519491231002X", "[name], [id]"),
];

/// Readable as they are: numbers of packets, lines, employers, receipts, offices; codes, amounts, days, words.
const READABLE: &[&str] = &[
    "batch 20211101000000000001 line 42",
    "4501002021102000000001",
    "45010020211020000000000001",
    "H45010000001202110310900000042",
    "450000202111010800000000000042",
    "45010000000000005001",
    "45010300000001",
    "4501030000777",
    "450103000001",
    "345016211000000001",
    "445016211000004711",
    "345016261200000017",
    "450103202111010001",
    "91450100MA5K000019",
    "914403001922038216",
    "91350100M000100Y43",
    "14501030000",
    "14501000000",
    "SJ202110200001",
    "MX20211000000001",
    "JD20211101",
    "P00000001",
    "PDY45010345010311A1001",
    "H45010000001",
    "H45010300123",
    "C-2002 revision 4712",
    "2021-10-31 23:59:59.123",
    "2026-11-27T09:52:40.123456Z",
    "20211031235959",
    "20211108103000123",
    "1635695999000",
    "9223372036854775807",
    "202110",
    "450103",
    "1056000.00",
    "12,345,678.90",
    "0.0695",
    "1345678.25 yuan, 18000 fen",
    "127.0.0.1:8443",
    "019ac3f4-1234-7567-8901-123456789012",
    "a1234567-1234-4123-8123-123456789012",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "delivery 1048576, status 422: JFXX101 means collection",
    "code -9 参保人余额不足",
    "参保人不存在",
    "姓名与证件不一致",
    "姓名不能为空",
    "负责人信息缺失",
    "参保人关系已中断",
    "人员编号不存在",
    "费款所属期2099-01超出受理范围（2010-01至2027-11）",
    "该明细号已由报文20211101000000000001入账，内容不同",
    "申报费率7.3 %在2021-10未生效，生效的是6.95 %",
    "入库日期2021-11-08尚未到来",
    "报文编号20211101000000000001已用于其他内容",
    "partner=nanning-tax packet_no=\"20211101000000000001\" received=3 posted=2",
    "name: adapter.toml",
    "name=nanning-tax",
    "unknown field `psn_name`; the schema lists those there are",
    "contact: ",
    "the answer does not repeat our reference at /inf_refmsgid",
];

#[test]
fn numbers_and_names_of_persons_are_masked_in_every_shape() {
    let wrong: Vec<String> = MASKED
        .iter()
        .filter(|(found, shown)| text(found) != *shown)
        .map(|(found, shown)| format!("{found}: {} instead of {shown}", text(found)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_of_packets_lines_and_employers_amounts_days_and_codes_stay_readable() {
    let wrong: Vec<String> = READABLE
        .iter()
        .filter(|found| text(found) != **found)
        .map(|found| format!("{found}: {}", text(found)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_masked_is_masked_to_the_same_again() {
    for (found, shown) in MASKED {
        assert_eq!(text(shown), *shown, "{found}");
    }
}

#[test]
fn a_content_that_is_nothing_but_a_name_is_masked_and_a_place_or_word_is_not() {
    for (found, shown) in [
        ("张三", "[name]"),
        (" 欧阳翠花 ", "[name]"),
        ("高新区", "高新区"),
        ("余额", "余额"),
        ("正常", "正常"),
        ("江南税务所", "江南税务所"),
        ("12.5元", "12.5元"),
    ] {
        assert_eq!(content(found), shown);
    }
}

#[test]
fn only_an_id_beyond_doubt_is_one_where_none_may_be() {
    for id in [
        "11010519491231002X",
        "45010319800202006x",
        "X450103198001011014",
        "450103 19800101 1014",
        "４５０１０３１９８００１０１１０１４",
        "810000198003030019",
    ] {
        assert!(is_certain(id), "{id}");
    }
    for other in [
        "110105194912310021",
        "345016211000000001",
        "45010020211020000000000001",
        "914403001922038216",
        "91450100MA5K000019",
        "P1",
        "",
        "13812345678",
        "张三",
        "9945010319800101101477",
    ] {
        assert!(!is_certain(other), "{other}");
    }
}

#[test]
fn a_longer_number_is_never_refused_for_what_stands_within_it() {
    // Numbers of insured people as the medical core gives them: some thousands of a million have such a window.
    let mut random: u64 = 1;
    for _ in 0..200_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = format!("4501{:016}", random % 10_000_000_000_000_000);
        assert!(!is_certain(&number), "{number}");
    }
}

#[test]
fn numbers_of_packets_of_these_years_are_never_ids_beyond_doubt() {
    // District, day and serial; a receipt's number; every serial of them.
    let (mut masked, mut right) = (0, 0);
    for serial in 0..10_000 {
        for number in [
            format!("45010320211101{serial:04}"),
            format!("4501032021110100{serial:06}"),
            format!("345016211{serial:09}"),
            format!("4501002021110{serial:09}"),
        ] {
            assert!(!is_certain(&number), "{number}");
            masked += u32::from(text(&number) != number);
            right += u32::from(crate::model::identity::resident_id_is_valid(&number));
        }
    }
    // Of the first form, which nothing tells from a child's id, those with the right check character.
    assert_eq!(masked, right);
}

#[test]
fn a_mistyped_word_is_shown_only_where_it_is_near_a_right_one_or_has_the_form_of_a_code() {
    for (found, shown) in [
        ("JFXX999", "JFXX999"),
        ("Packett", "Packett"),
        ("Envelope", "Envelope"),
        ("张三", "(2 characters)"),
        ("ZhangSan", "(8 characters)"),
        ("E12345678", "(9 characters)"),
        ("11010519491231002X", "(18 characters)"),
        ("13812345678", "(11 characters)"),
    ] {
        assert_eq!(word(found, ["Packet", "JFXX101"]), shown);
    }
}

#[test]
fn every_label_begins_with_the_kind_of_character_at_which_labels_are_looked_for() {
    use super::words::{NAME_LABELS, NUMBER_LABELS};
    for label in NAME_LABELS.iter().chain(NUMBER_LABELS) {
        assert!(
            label.chars().next().is_some_and(super::names::is_han),
            "{label}"
        );
    }
}
