//! What `ltcgw doctor` finds, in Chinese; sentences of the database, of partners' certificates and of pauses with it.

use crate::model::phrase::Phrase;

/// What was looked at. Apart from the sentences, in which a folder may be called `config`.
pub const SUBJECTS: &[Phrase] = &[
    ("config", "配置"),
    ("rates", "费率"),
    ("rules", "登记规则"),
    ("privacy key", "个人信息密钥"),
    ("adapters", "适配器"),
    ("approval", "审批"),
    ("areas", "统筹区"),
    ("deductions", "代扣"),
    ("server certificate", "服务器证书"),
    ("server key", "服务器密钥"),
    ("client authority", "客户端CA"),
    ("mutual TLS", "双向TLS"),
    ("revocation list", "吊销列表"),
    ("database", "数据库"),
    ("rosters", "参保名册"),
    ("destinations", "推送目标"),
    ("data folder", "数据目录"),
    ("temporary folder", "临时目录"),
    ("operator address", "运维地址"),
    ("partner address", "接入地址"),
];

/// Words first, then sentences, then what is put together of others.
pub const PHRASES: &[Phrase] = &[
    // Words within sentences.
    ("medical core", "医保核心系统"),
    ("LTC system", "长护险系统"),
    ("medical", "医保"),
    ("long_term_care", "长护险"),
    ("the embedded database", "内置数据库"),
    ("packets under way", "正在接收的数据包"),
    ("its key's pin", "公钥指纹"),
    ("no adapter", "无适配器"),
    ("the lists taken", "已采用的列表"),
    // The sheet's end.
    (
        "ready to serve; 1 line wants attention",
        "可以启动；有1项需要留意",
    ),
    (
        "ready to serve; {} lines want attention",
        "可以启动；有{0}项需要留意",
    ),
    ("ready to serve", "可以启动"),
    (
        "1 problem; 1 line wants attention",
        "1项问题；另有1项需要留意",
    ),
    (
        "{} problems; 1 line wants attention",
        "{0}项问题；另有1项需要留意",
    ),
    (
        "1 problem; {} lines want attention",
        "1项问题；另有{0}项需要留意",
    ),
    (
        "{} problems; {} lines want attention",
        "{0}项问题；另有{1}项需要留意",
    ),
    ("1 problem", "1项问题"),
    ("{} problems", "{0}项问题"),
    // Configuration, rates, rules, approval.
    (
        "mend these first: everything else depends on them",
        "请先改正这些，其余检查均以此为前提",
    ),
    ("{} more like these; {}", "同类问题还有{0}项；{1}"),
    (
        "mend them (`ltcgw adapter test` says the same); no partner can be checked without",
        "请改正（`ltcgw adapter test`同样会指出）；否则无法检查对接方",
    ),
    ("{}; checked, samples pass", "{0}；检查通过，样例通过"),
    (
        "{} needs the {} of {}, which its rate file lacks: its people are left out of deductions",
        "{0}需要{2}年的{1}，费率文件中没有：相关人员不纳入代扣",
    ),
    (
        "add `{} = \"…\"` (yuan a month) under [{}], then restart the gateway",
        "在[{1}]下加入`{0} = \"…\"`（元/月），然后重启网关",
    ),
    (
        "rules with values that no source confirms: {}; their key `open` lists them",
        "有未经来源证实的数值的规则：{0}；见其`open`项",
    ),
    (
        "confirm those of your areas before going live, then take them out of `open`",
        "上线前请核实本统筹区的数值，核实后从`open`中去掉",
    ),
    (
        "personal data cannot be sealed or opened without it",
        "没有它，个人信息无法加密和解密",
    ),
    (
        "{}: good; keep a copy apart from the database's backups",
        "{0}：可用；请另行备份，不要与数据库备份放在一起",
    ),
    (
        "[approval] same_login = true: one person can plan and approve under two names",
        "[approval] same_login = true：同一人可用两个姓名既计划又审批",
    ),
    (
        "take the line out of gateway.toml before real money is moved",
        "动用真实资金之前，请从gateway.toml中去掉此行",
    ),
    (
        "plan and approval need two logins of this system; this session's is {}",
        "计划与审批须为本系统的两个登录账户；当前会话为{0}",
    ),
    (
        "plan and approval need two logins of this system, and this session shows none: nobody can plan or approve from it",
        "计划与审批须为本系统的两个登录账户，而当前会话没有登录账户：无法在此计划或审批",
    ),
    (
        "work from a session of your own: ssh, console, or sudo from it",
        "请用自己的会话操作：ssh、控制台，或由此sudo",
    ),
    ("pooling areas {}", "统筹区{0}"),
    // Areas and deductions.
    (
        "{}: has no rate of employers; every line of it is refused",
        "{0}：没有单位费率，其明细全部退回",
    ),
    (
        "{}: nobody is told of its {} fund; every line of it is refused",
        "{0}：{1}基金无人接收，其明细全部退回",
    ),
    (
        "write config/rates/{}-<city>.toml, or take the area out of the code tables",
        "编写config/rates/{0}-<城市>.toml，或从代码表中去掉该统筹区",
    ),
    (
        "write config/rates/{}-<city>.toml, or mend the number",
        "编写config/rates/{0}-<城市>.toml，或改正代码",
    ),
    (
        "add it to `areas` of the partners there in partners.toml, or take it out of the code tables",
        "在partners.toml中将其加入当地对接方的`areas`，或从代码表中去掉",
    ),
    (
        "{}: rates, and somebody is told of each fund",
        "{0}：有费率，各基金均有接收系统",
    ),
    (
        "partner {} is told of pooling area {}, which has no rates",
        "对接方{0}接收统筹区{1}，而该统筹区没有费率",
    ),
    (
        "{}; or leave it, where deductions do not go through this gateway",
        "{0}；代扣不经本网关的，可不处理",
    ),
    (
        "pooling area {}: accounts pay by its rates, but nobody is asked to deduct there and nobody is told of it; no month can be planned",
        "统筹区{0}：费率规定由个人账户缴费，但没有扣款的医保核心系统，也没有接收结果的系统；无法做任何月份的计划",
    ),
    (
        "pooling area {}: {} is told of results, but nobody is asked to deduct there; no month can be planned",
        "统筹区{0}：{1}接收结果，但没有扣款的医保核心系统；无法做任何月份的计划",
    ),
    (
        "pooling area {}: {} is asked to deduct there, but nobody is told of results; no month can be planned",
        "统筹区{0}：由{1}扣款，但没有接收结果的系统；无法做任何月份的计划",
    ),
    (
        "add it to `areas` of its {} in partners.toml, with \"{}\" in `receives`",
        "在partners.toml中将其加入{0}的`areas`，并在`receives`中写入\"{1}\"",
    ),
    (
        "nobody deducts there; add the area to its medical core and LTC system, where it is served",
        "该统筹区无人扣款；由本网关服务的，请加入其医保核心系统和长护险系统的`areas`",
    ),
    (
        "{}; in no partner's `areas`: {}",
        "{0}；不在任何对接方的`areas`中：{1}",
    ),
    (
        "in no partner's `areas`: {}",
        "不在任何对接方的`areas`中：{0}",
    ),
    ("{} ({}; told: {})", "{0}（{1}扣款；接收结果：{2}）"),
    ("pooling area {}, known to {}", "统筹区{0}（见于适配器{1}）"),
    ("{} and its {}", "{0}和{1}"),
    // Certificates.
    ("get a new one from its authority", "向其CA申请新证书"),
    (
        "get a new one from the partner's authority",
        "向对接方的CA申请新证书",
    ),
    (
        "its clients will be refused; get its new certificate",
        "其客户端将被拒绝；请取得该CA的新证书",
    ),
    (
        "trial certificates: ltcgw pki init",
        "试用证书：ltcgw pki init",
    ),
    (
        "if the authority itself has begun its numbers anew: remove {}, then restart the gateway",
        "若CA自身重新编号：请删除{0}，然后重启网关",
    ),
    (
        "none is configured: a revoked client certificate stays good",
        "未配置：被吊销的客户端证书仍然有效",
    ),
    (
        "name one as [tls] crl in gateway.toml",
        "在gateway.toml的[tls] crl中指定",
    ),
    (
        "must be replaced in {} days ({}); every client is refused after that",
        "须在{0}天内（{1}）更换，此后所有客户端都会被拒绝",
    ),
    (
        "fetch the current one from the authority",
        "向CA取得当前列表",
    ),
    (
        "check this machine's clock, or wait",
        "请检查本机时钟，或等待",
    ),
    ("{} can be read by every account", "{0}可被所有账号读取"),
    ("chmod o-r {}", "请执行chmod o-r {0}"),
    ("{}: not valid before {}", "{0}：{1}之前无效"),
    ("{}: expired {}", "{0}：已于{1}过期"),
    ("{}: expires in {} days ({})", "{0}：{1}天后过期（{2}）"),
    ("{}: good for {} days", "{0}：{1}天内有效"),
    ("good for {} days", "{0}天内有效"),
    ("for {}", "用于{0}"),
    // This machine.
    (
        "change [listen] in gateway.toml, or stop what uses the port (ss -ltnp)",
        "修改gateway.toml中的[listen]，或停掉占用端口的程序（ss -ltnp）",
    ),
    (
        "change data_dir in gateway.toml, or the folder's owner",
        "修改gateway.toml中的data_dir，或目录属主",
    ),
    (
        "change data_dir in gateway.toml",
        "修改gateway.toml中的data_dir",
    ),
    (
        "keep [listen] operator on 127.0.0.1, or behind a firewall",
        "[listen] operator请保持127.0.0.1，或置于防火墙之后",
    ),
    (
        "make room before large packets come",
        "请在大数据包到来之前腾出空间",
    ),
    (
        "{} is not on loopback, and whoever reaches it may read the metrics",
        "{0}不是本机回环地址，能访问者均可读取指标",
    ),
    (
        "{} free on {} for {}; expected {} at least",
        "{1}剩余{0}，用于{2}；至少应有{3}",
    ),
    ("{} free for {}", "剩余{0}，用于{1}"),
    ("{}: a gateway serves there already", "{0}：已有网关在运行"),
    ("{}: any free port", "{0}：任一空闲端口"),
    ("{}: free", "{0}：空闲"),
    ("{}: can be written", "{0}：可写"),
    ("{}: cannot be written: {}", "{0}：不可写：{1}"),
    ("{}: made at the first start", "{0}：首次启动时创建"),
    ("{}: nothing of this path exists", "{0}：路径不存在"),
    // The database.
    (
        "back it up first; ltcgw migrate does it alone",
        "请先备份；也可单独执行ltcgw migrate",
    ),
    (
        "{}: no schema yet, made at the first start",
        "{0}：尚无表结构，首次启动时创建",
    ),
    ("{}: schema {}, up to date", "{0}：表结构{1}，为最新"),
    (
        "{}: schema {}; the next start brings it to {}",
        "{0}：表结构{1}；下次启动升级到{2}",
    ),
    (
        "embedded PostgreSQL {} from {} starts on its data in {}",
        "内置PostgreSQL {0}（{1}），使用{2}中已有数据启动",
    ),
    (
        "embedded PostgreSQL {} from {} makes its data in {}",
        "内置PostgreSQL {0}（{1}），在{2}中新建数据",
    ),
    (
        "PostgreSQL {}, the server at [database] url",
        "PostgreSQL {0}，[database] url所指服务器",
    ),
    (
        "PostgreSQL {}, the embedded server of a gateway that runs now",
        "PostgreSQL {0}，正在运行的网关的内置服务器",
    ),
    (
        "PostgreSQL {} or later is needed",
        "需要PostgreSQL {0}或更新版本",
    ),
    ("role or database set {}", "角色或数据库设置了{0}"),
    (
        "the gateway sets its own; for whoever else uses the role: {}",
        "网关会自行设置；该角色另有他用的：{0}",
    ),
    (
        "role {} may not create in schema {}; {}",
        "角色{0}无权在模式{1}中建表；{2}",
    ),
    (
        "there is no schema that role {} may use; {}",
        "没有角色{0}可用的模式；{1}",
    ),
    (
        "role {} may not make the schema report; {}",
        "角色{0}无权创建模式report；{1}",
    ),
    (
        "role {} may not make temporary tables, which packets with known numbers, rosters and registry loads need",
        "角色{0}无权创建临时表，而重复编号的数据包、名册和登记信息批量导入都需要",
    ),
    (
        "role {} may not read and write {} tables and sequences of schema {}",
        "角色{0}无权读写模式{2}中的{1}个表和序列",
    ),
    (
        "{} connections are allowed, and an instance may use {}",
        "允许{0}个连接，而一个实例最多使用{1}个",
    ),
    (
        "the next version will make tables and views",
        "下一版本还会建表和视图",
    ),
    ("the tables have yet to be made", "表尚未创建"),
    (
        "the database is reached through a pooler in transaction mode; sessions must be ours: use session mode or a direct connection",
        "数据库前的连接池为事务模式；会话须由网关独占：请改用会话模式或直接连接",
    ),
    (
        "the database has no schema yet; run `ltcgw serve` or `ltcgw migrate`",
        "数据库尚无表结构；请执行`ltcgw serve`或`ltcgw migrate`",
    ),
    (
        "the database has schema {}, this version works with {}; use the version of the gateway that serves",
        "数据库表结构为{0}，本版本使用{1}；请使用与正在运行的网关相同的版本",
    ),
    // Rosters and pauses.
    (
        "the deductions of {} for {} leave out {} people ({}): {}",
        "{0}在{1}的代扣未纳入{2}人（{3}）：{4}",
    ),
    (
        "have it added to the roster or the rate file; `ltcgw deduct report` lists the people",
        "请在名册或费率文件中补充；`ltcgw deduct report`列出相关人员",
    ),
    (
        "it is tried by itself; once the cause is mended, `ltcgw destinations resume` makes it sooner",
        "会自动重试；原因排除后，可用`ltcgw destinations resume`提前恢复",
    ),
    ("{}; it said: {}", "{0}；对方原话：{1}"),
    ("{}; no instance dispatches to it", "{0}；没有实例负责推送"),
    ("paused until {} since {}: {}", "自{1}起暂停至{0}：{2}"),
    ("paused until {}: {}", "暂停至{0}：{1}"),
    ("tried now and then since {}: {}", "自{0}起间歇重试：{1}"),
    ("tried now and then: {}", "间歇重试：{0}"),
    (
        "what stands before the partner lets nothing through",
        "对方前置设备不放行",
    ),
    ("it gives no answer of its own", "对方系统自身没有应答"),
    ("it says later", "对方要求稍后再发"),
    (
        "it cannot be reached, or keeps silent",
        "无法连接，或没有应答",
    ),
    // Partners.
    (
        "{} takes our certificate ({}, {}); its own is good for {} days",
        "{0}接受我方证书（{1}，{2}）；其证书{3}天内有效",
    ),
    (
        "{} did not complete the exchange within {} s",
        "{0}在{1}秒内未完成交互",
    ),
    ("{} cannot be reached: {}", "{0}无法连接：{1}"),
    ("{} refuses our certificate: {}", "{0}拒绝我方证书：{1}"),
    (
        "the certificate of {} is not trusted: {}; is `ca` the authority that signed it?{}",
        "{0}的证书不受信任：{1}；`ca`是否为签发它的CA？{2}",
    ),
    ("tell the partner", "请告知对接方"),
    ("our certificate `{}`", "我方证书`{0}`"),
    (
        "{}; receives {}; settings and secrets complete",
        "{0}；接收{1}；设置与密钥齐全",
    ),
    ("{}; known by {}, may call {}", "{0}；凭{1}识别，可调用{2}"),
    ("{}: {} partners", "{0}：{1}个对接方"),
    ("adapter {}", "适配器{0}"),
    // Keys that others can read.
    ("chmod 600 {}", "执行 chmod 600 {0}"),
    (
        "{} has mode {}: every account of this machine has access; expected 0600",
        "{0}的权限为{1}：本机所有账户均可访问；应为 0600",
    ),
    (
        "{} has mode {}: its group has access; expected 0600",
        "{0}的权限为{1}：同组账户可访问；应为 0600",
    ),
    ("destination {}", "推送目标{0}"),
    ("partner {}", "对接方{0}"),
];

#[cfg(test)]
mod tests {
    use super::{PHRASES, SUBJECTS};
    use crate::model::phrase::wholly_chinese;

    /// Texts that are put together of others or are no sentences.
    const PARTS: &[&str] = &[
        "HTTP/1.1 200",
        "embedded PostgreSQL {} from {} {} in {}",
        " and its ",
        "postgres",
        "starts on its data",
        "makes its data",
        "PostgreSQL {}, {}",
        "the server at [database] url",
    ];

    /// Literals of a file of doctor's with two words at least, their places as `{}`.
    fn literals(source: &str) -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        let code = code.replace("\\\"", "\u{1}").replace("\\\n", "");
        let mut found = Vec::new();
        for literal in code.split('"').skip(1).step_by(2) {
            let mut text = String::new();
            let mut rest = literal;
            while let Some((before, after)) = rest.split_once('{') {
                text += &format!("{before}{{}}");
                rest = after.split_once('}').map_or("", |(_, behind)| behind);
            }
            found.push((text + rest).replace('\u{1}', "\""));
        }
        found.retain(|text| {
            text.contains(' ')
                && text.chars().filter(char::is_ascii_alphabetic).count() > 3
                && !text.contains("\\r")
        });
        found
    }

    #[test]
    fn every_sentence_of_doctor_has_its_chinese() {
        let sources = [
            include_str!("../doctor.rs"),
            include_str!("../doctor/areas.rs"),
            include_str!("../doctor/certificates.rs"),
            include_str!("../doctor/database.rs"),
            include_str!("../doctor/machine.rs"),
            include_str!("../doctor/partners.rs"),
        ];
        let mut missing: Vec<String> = sources.into_iter().flat_map(literals).collect();
        assert!(missing.len() > 80, "{missing:?}");
        let subject = |text: &str| SUBJECTS.iter().any(|(known, _)| *known == text);
        let part = |text: &str| {
            subject(text)
                || PARTS.contains(&text)
                || PHRASES.iter().any(|(pattern, _)| {
                    *pattern != text && pattern.contains(text.trim_start_matches(';'))
                })
        };
        missing.retain(|text| {
            !part(text) && wholly_chinese(PHRASES, &text.replace("{}", "x")).is_none()
        });
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn what_is_put_together_of_sentences_is_chinese_in_all_of_them() {
        for (english, chinese) in [
            (
                "pooling area 440100, known to tax-bureau: nobody is told of its medical and its long_term_care fund; every line of it is refused",
                "统筹区440100（见于适配器tax-bureau）：医保和长护险基金无人接收，其明细全部退回",
            ),
            (
                "adapter ltc-system; known by DNS:ltc.example, may call PUT /a; receives contributions; settings and secrets complete",
                "适配器ltc-system；凭DNS:ltc.example识别，可调用PUT /a；接收contributions；设置与密钥齐全",
            ),
            (
                "for localhost, 127.0.0.1: good for 364 days",
                "用于localhost, 127.0.0.1：364天内有效",
            ),
            (
                "PostgreSQL 15, the server at [database] url: schema 31, up to date",
                "PostgreSQL 15，[database] url所指服务器：表结构31，为最新",
            ),
            (
                "paused until 10:00 since 09:00: it says later; no instance dispatches to it",
                "自09:00起暂停至10:00：对方要求稍后再发；没有实例负责推送",
            ),
        ] {
            assert_eq!(wholly_chinese(PHRASES, english).as_deref(), Some(chinese));
        }
    }
}
