//! Packets of the tax bureau, written for tests: a good line and what is changed in it.

/// One record: elements and their contents, in order.
#[derive(Clone)]
pub struct Line(Vec<(&'static str, String)>);

impl Line {
    /// An ordinary employer's payment: 120,000.00 yuan base at 6.95 %, 8,340.00 yuan paid.
    pub fn employer(detail_no: &str) -> Line {
        let elements = [
            ("AAA027", "450100"),
            ("AAB034", "450103"),
            ("AAZ288", "4501032110000123"),
            ("AAD009", "445016211000004711"),
            ("AAE140", "310"),
            ("AAB001", "4501030012345"),
            ("AAE003", "202110"),
            ("AAA115", "10"),
            ("AAB119", "20"),
            ("AAB084", "120000.00"),
            ("AAB121", "120000.00"),
            ("AAB120", "120000.00"),
            ("AAA042", "0.0695"),
            ("AAE080", "8340.00"),
            ("AAA041", "0.02"),
            ("AAE082", "2400.00"),
            ("AAE056", "0.00"),
            ("BAC121", "0.00"),
            ("AAE239", "0.00"),
            ("AAE530", "20211105"),
            ("AAE531", "20211106"),
            ("AAF020", "14501030000"),
            ("AAA321", "1"),
            ("AAA322", "20211108001"),
            ("AAE418", "20211108102959"),
            ("AAZ083", detail_no),
        ];
        Line(
            elements
                .map(|(name, content)| (name, content.to_string()))
                .to_vec(),
        )
    }

    /// One person's part of such a payment.
    pub fn employee(detail_no: &str, person_no: &str) -> Line {
        let elements = [
            ("AAA027", "450100"),
            ("AAB034", "450103"),
            ("AAD009", "445016211000004711"),
            ("AAE140", "310"),
            ("AAB001", "4501030012345"),
            ("AAC001", person_no),
            ("AAE003", "202110"),
            ("AAA115", "10"),
            ("AAC040", "6000.00"),
            ("EAE180", "6000.00"),
            ("AAE180", "6000.00"),
            ("AAE020", "417.00"),
            ("AAE082", "120.00"),
            ("AAE531", "20211106"),
            ("AAA321", "1"),
            ("AAZ083", detail_no),
        ];
        Line(
            elements
                .map(|(name, content)| (name, content.to_string()))
                .to_vec(),
        )
    }

    /// The same line with another content of an element.
    pub fn with(mut self, element: &'static str, content: &str) -> Line {
        match self.0.iter_mut().find(|(name, _)| *name == element) {
            Some((_, old)) => *old = content.to_string(),
            None => self.0.push((element, content.to_string())),
        }
        self
    }

    /// The same line without an element.
    pub fn without(mut self, element: &str) -> Line {
        self.0.retain(|(name, _)| *name != element);
        self
    }
}

/// A packet to be sent.
#[derive(Clone)]
pub struct Packet {
    number: String,
    kind: &'static str,
    replaces: bool,
    declared: Option<usize>,
    lines: Vec<Line>,
}

impl Packet {
    /// Employers' payments (JFXX101).
    pub fn employers(number: &str, lines: impl IntoIterator<Item = Line>) -> Packet {
        Packet {
            number: number.to_string(),
            kind: "JFXX101",
            replaces: false,
            declared: None,
            lines: lines.into_iter().collect(),
        }
    }

    /// Employees' detail (JFXX102).
    pub fn employees(number: &str, lines: impl IntoIterator<Item = Line>) -> Packet {
        Packet {
            kind: "JFXX102",
            ..Packet::employers(number, lines)
        }
    }

    /// Sent again and replacing (SFCF=1).
    pub fn replacing(self) -> Packet {
        Packet {
            replaces: true,
            ..self
        }
    }

    /// Says another number of lines than it has.
    pub fn declaring(self, lines: usize) -> Packet {
        Packet {
            declared: Some(lines),
            ..self
        }
    }

    pub fn of_type(self, kind: &'static str) -> Packet {
        Packet { kind, ..self }
    }

    /// The document as text that says it is GBK.
    pub fn text(&self) -> String {
        let records: String = (1..)
            .zip(&self.lines)
            .map(|(index, line)| record(index, line))
            .collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"GBK\"?><Package><PackageHead><SJBBH>{}</SJBBH><SJBLX>{}</SJBLX><SFCF>{}</SFCF><JGBS>4501000001</JGBS>\
             <DWDM>14501000000</DWDM><DWMC>国家税务总局南宁市税务局</DWMC><JLS>{}</JLS><SCRQ>20211108103000</SCRQ></PackageHead><Data>{records}</Data></Package>",
            self.number,
            self.kind,
            u8::from(self.replaces),
            self.declared.unwrap_or(self.lines.len()),
        )
    }
}

fn record(index: usize, line: &Line) -> String {
    let elements: String = line
        .0
        .iter()
        .map(|(name, content)| format!("<{name}>{content}</{name}>"))
        .collect();
    format!("<Record index=\"{index}\">{elements}</Record>")
}

/// GBK bytes of a document.
pub fn gbk(text: &str) -> Vec<u8> {
    encoding_rs::GBK.encode(text).0.into_owned()
}

impl From<Packet> for Vec<u8> {
    fn from(packet: Packet) -> Vec<u8> {
        gbk(&packet.text())
    }
}

impl From<&Packet> for Vec<u8> {
    fn from(packet: &Packet) -> Vec<u8> {
        gbk(&packet.text())
    }
}

/// The content of an element in a receipt.
pub fn element<'a>(receipt: &'a str, name: &str) -> &'a str {
    let start = receipt
        .find(&format!("<{name}>"))
        .unwrap_or_else(|| panic!("no {name} in {receipt}"))
        + name.len()
        + 2;
    &receipt[start..start + receipt[start..].find('<').expect("an end tag")]
}

/// Received, posted, refused and duplicate lines of a receipt.
pub fn counts(receipt: &str) -> [&str; 4] {
    ["JSTS", "RZTS", "JJTS", "CFTS"].map(|name| element(receipt, name))
}
