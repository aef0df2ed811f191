//! Words that give persons away: labels and keys before their names and numbers, and surnames.

/// What is written before a name in Chinese texts; longer ones first.
pub(super) const NAME_LABELS: &[&str] = &[
    "法定代表人",
    "参保人员姓名",
    "人员姓名",
    "参保人姓名",
    "姓名",
    "名字",
    "参保人员",
    "参保人",
    "被保险人",
    "负责人",
    "联系人",
    "经办人",
    "申请人",
    "代办人",
    "监护人",
    "护理人员",
    "护理员",
    "失能人员",
    "参保对象",
    "患者",
    "户主",
    "家属",
    "职工",
    "本人",
    "护士",
    "人员",
    "老人",
    "女士",
    "先生",
];

/// What is written before a number of a person; longer ones first.
pub(super) const NUMBER_LABELS: &[&str] = &[
    "身份证件号码",
    "公民身份号码",
    "身份证号码",
    "身份证号",
    "身份证",
    "证件号码",
    "证件号",
    "护照号码",
    "护照号",
    "护照",
    "手机号码",
    "手机号",
    "手机",
    "联系电话",
    "电话号码",
    "电话",
    "联系方式",
    "银行卡号",
    "银行卡",
    "卡号",
    "人员编号",
    "个人编号",
    "通行证",
    "居住证",
];

/// Keys and elements of names, compared without regard to case; anything that stands there is one.
pub(super) const NAME_KEYS: &[&str] = &[
    "xm",
    "psn_name",
    "psnname",
    "patn_name",
    "coner_name",
    "person_name",
    "personname",
    "full_name",
    "fullname",
    "real_name",
    "realname",
    "given_name",
    "family_name",
    "legal_representative",
    "legal_rep",
    "contact_name",
    "contact",
    "aac003",
    "aae004",
    "姓名",
    "legrep_name",
    "opter_name",
    "insured_name",
    "applicant",
    "caregiver_name",
];

/// Keys that name other things, too: only what looks like a person's name is one.
pub(super) const PERHAPS_NAME_KEYS: &[&str] = &["name", "insured", "person", "patient"];

/// Keys and elements of numbers of persons.
pub(super) const NUMBER_KEYS: &[&str] = &[
    "certno",
    "cert_no",
    "psn_cert_no",
    "certificate_no",
    "certificate_number",
    "idcard",
    "id_card",
    "idcard_no",
    "id_no",
    "idno",
    "identity",
    "sfzh",
    "sfzhm",
    "zjhm",
    "zjh",
    "aac002",
    "aac147",
    "phone",
    "mobile",
    "mobile_phone",
    "tel",
    "telephone",
    "tel_no",
    "phone_no",
    "aae005",
    "sjh",
    "lxdh",
    "passport",
    "passport_no",
    "psn_no",
    "person_no",
    "bank_card",
    "card_no",
    "bankcard",
    "account_holder",
];

/// What wraps messages where they should not be wrapped, which is nobody's name.
pub(super) const WRAPPERS: &[&str] = &[
    "Envelope",
    "soap:Envelope",
    "soapenv:Envelope",
    "SOAP-ENV:Envelope",
    "html",
    "HTML",
    "root",
    "data",
    "xml",
    "request",
    "response",
    "Root",
    "Data",
];

/// Surnames of one character (the hundred and some most frequent, which is nearly everybody).
pub(super) const SURNAMES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤康易乔赖文葛洪倪季施甘蓝农陀闭岑班凌滕宁卜苗聂翟裴欧牛鲁柯庞祝岳褚章温柳殷庄左游骆尚齐梅盛辛关耿焦伍华申祁房詹冼麦黃張陳劉楊趙吳孫馬鄭羅謝許韓鄧馮葉盧蘇呂鍾應应单全包连时成安明党籍项费";

/// Surnames of two characters.
pub(super) const LONG_SURNAMES: &[&str] = &[
    "欧阳", "上官", "诸葛", "慕容", "司马", "司徒", "东方", "皇甫", "尉迟", "公孙", "夏侯", "令狐",
    "端木", "长孙", "宇文", "南宫", "独孤", "轩辕", "闻人", "淳于",
];

/// Words that begin with the character of a surname and are none.
pub(super) const NO_NAMES: &[&str] = &[
    "余额", "关系", "单位", "单独", "单据", "单个", "全部", "全额", "全年", "包括", "包含", "应缴",
    "应当", "应为", "应付", "应收", "时间", "时点", "成功", "成员", "成立", "安全", "明细", "明确",
    "籍贯", "项目", "费用", "费率", "费款", "连续", "常住", "高龄", "方可", "方式", "金额", "文件",
    "文书", "文本", "任何", "任务", "程序", "白名", "黑名", "万元", "向我", "严重", "石化", "江苏",
    "金融", "高新", "易于", "何时", "何种", "尚未", "盛行", "关联", "关闭", "章程", "左右", "农村",
    "农业", "农民", "于今", "于当", "华侨", "申请", "申报", "申诉", "段落", "计算", "温馨", "周期",
    "周岁", "马上", "许可", "施行", "江西", "云南", "南宁", "宁夏", "林业", "班级", "房产", "白天",
    "党员", "常见", "付款", "付费", "钱款", "武鸣", "向上", "夏季", "秦皇", "孔子", "龙头", "雷同",
    "易错", "史料", "叶片", "安排", "宁波", "柳州", "温州", "梁山", "广西", "贺州", "万能", "顾客",
    "毛利", "雷区", "文化", "文号", "单号", "单笔", "时限", "全市", "全区", "全国", "连接", "连同",
    "项下", "成本", "明年", "安装", "时段", "田东", "田林", "田阳",
];

/// Characters that begin what follows a name of two characters, or a sentence instead of a name.
pub(super) const NOT_OF_NAMES: &str = "不未已的无在与和状于没有是为非参缴信身证件姓人账户年月日号及或被应该可请将从由对等至以待需但且并因而若如则了着过又也都还再就才只其此这那哪谁什么空缺必错重各属仍向";

/// What follows the label of a name and is no name.
pub(super) const NO_BEGINNING: &str = "不未无为空缺必非与已有错是和的或及号长格校填输字过太含应";

/// What a name of an organisation or a place ends with.
pub(super) const NO_ENDING: &str =
    "区县市省局所院部站镇乡村街路社厅办处科司厂店库费税险金类型型码号表单位式率额数";

/// Frequent surnames in pinyin.
pub(super) const PINYIN_SURNAMES: &[&str] = &[
    "wang",
    "li",
    "zhang",
    "liu",
    "chen",
    "yang",
    "huang",
    "zhao",
    "wu",
    "zhou",
    "xu",
    "sun",
    "ma",
    "zhu",
    "hu",
    "guo",
    "he",
    "lin",
    "gao",
    "luo",
    "zheng",
    "liang",
    "xie",
    "song",
    "tang",
    "han",
    "deng",
    "feng",
    "cao",
    "peng",
    "zeng",
    "xiao",
    "tian",
    "dong",
    "pan",
    "yuan",
    "cai",
    "jiang",
    "yu",
    "du",
    "ye",
    "cheng",
    "wei",
    "su",
    "lu",
    "lv",
    "ding",
    "ren",
    "yao",
    "shen",
    "zhong",
    "cui",
    "tan",
    "fan",
    "liao",
    "shi",
    "jin",
    "jia",
    "xia",
    "fu",
    "fang",
    "zou",
    "xiong",
    "bai",
    "meng",
    "qin",
    "qiu",
    "hou",
    "ouyang",
    "zhuge",
    "shangguan",
    "sima",
    "murong",
    "qin",
];

/// Whether the characters begin with the word.
pub(super) fn starts_with(chars: &[char], word: &str) -> bool {
    let mut chars = chars.iter();
    word.chars().all(|c| chars.next() == Some(&c))
}
