//! XML documents: head values and records out of a strict pull reader, in constant memory.
//!
//! Checks well-formedness ([`crate::adapter::xml`]) and the limits of [`super`]; refuses DTDs, processing
//! instructions and entities other than the predefined ones. It takes texts; what they mean is `rows`' business.

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

mod plain; // the common case, fast

use super::charset::CharsetReader;
use super::tree::{Capture, ElementTarget, Guess, NONE, PathTree};
use super::{
    DEPTH_MAX, DecodeErrorKind, HEAD_BYTES_MAX, HeadRefusal, NAME_BYTES_MAX, RECORD_BYTES_MAX,
    TAG_BYTES_MAX, TEXT_BYTES_MAX,
};
use crate::adapter::xml::{self, WellFormed};
use crate::model::mask;

/// The root element of a SOAP message, of any version.
const SOAP_ROOT: &str = "Envelope";

/// Takes the attributes that `tree` wants of the element at `node`. Those with a prefix are of another namespace, and
/// nobody's wish.
fn take_attributes(
    tree: &PathTree,
    node: u32,
    raw: &str,
    capture: &mut Capture,
) -> Result<(), String> {
    let wanted = tree.attributes(node);
    if wanted.is_empty() {
        return Ok(());
    }
    for attribute in xml::attributes(raw) {
        let attribute = attribute?;
        if let Some((_, column)) = wanted.iter().find(|(name, _)| &**name == attribute.name) {
            capture.whole(*column, &xml::unescape(attribute.value)?);
        }
    }
    Ok(())
}

/// What an event led to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    On,
    RecordBegins,
    RecordEnds,
    End,
}

/// A document being read.
pub(super) struct XmlSource<'a> {
    reader: Reader<CharsetReader<'a>>,
    buffer: Vec<u8>,
    walk: Walk<'a>,
    /// A record has begun but its content is not read yet.
    begun: bool,
    /// The latest event was a whole tag, so that the reader stands between two events.
    between: bool,
}

/// Where we are in the document.
struct Walk<'a> {
    head: &'a PathTree,
    head_guess: Guess,
    well_formed: WellFormed,
    /// Path tree of one record; known once the packet type is.
    record: Option<&'a PathTree>,
    record_guess: Guess,
    /// The node in the head tree whose element is a record.
    record_node: u32,
    stack: Vec<Frame>,
    leaf: Option<Leaf>,
    /// Depth of the open record's element; 0 outside.
    record_depth: usize,
    record_start: u64,
    /// Attributes of the open record's element as they stand there.
    record_attributes: String,
    /// The open record's element has no content.
    ends_at_once: bool,
    records: u64,
    first: bool,
    closed: bool,
}

#[derive(Clone, Copy)]
struct Frame {
    node: u32,
    last: u32,
}

/// An element whose text is being taken.
struct Leaf {
    column: u16,
    depth: usize,
}

impl<'a> XmlSource<'a> {
    pub(super) fn new(mut chars: CharsetReader<'a>, head: &'a PathTree) -> XmlSource<'a> {
        chars.take_only_xml();
        let mut reader = Reader::from_reader(chars);
        reader.config_mut().check_comments = true;
        let mut stack = Vec::with_capacity(DEPTH_MAX + 1);
        stack.push(Frame {
            node: 0,
            last: NONE,
        });
        let walk = Walk {
            head,
            head_guess: Guess::for_tree(head),
            well_formed: WellFormed::default(),
            record: None,
            record_guess: Guess::default(),
            record_node: NONE,
            stack,
            leaf: None,
            record_depth: 0,
            record_start: 0,
            record_attributes: String::new(),
            ends_at_once: false,
            records: 0,
            first: true,
            closed: false,
        };
        XmlSource {
            reader,
            buffer: Vec::with_capacity(4096),
            walk,
            begun: false,
            between: false,
        }
    }

    /// Reads up to the first record; `None` when the document ends without one, else the record's node.
    pub(super) fn read_head(&mut self, head: &mut Capture) -> Result<Option<u32>, HeadRefusal> {
        loop {
            match self.step(head)? {
                Step::RecordBegins => {
                    self.begun = true;
                    return Ok(Some(self.walk.record_node));
                }
                Step::End => return Ok(None),
                Step::On | Step::RecordEnds => {}
            }
        }
    }

    /// From here on records are those at `node`, and their values are taken by `tree`.
    pub(super) fn take_records(&mut self, tree: &'a PathTree) {
        self.walk.record = Some(tree);
        self.walk.record_guess = Guess::for_tree(tree);
    }

    /// Reads one record; false when the document has ended, properly.
    pub(super) fn next_record(&mut self, capture: &mut Capture) -> Result<bool, HeadRefusal> {
        if self.begun {
            self.begun = false;
            self.walk.begin_record(capture)?;
        }
        loop {
            match self.step(capture)? {
                Step::On => {}
                Step::RecordBegins => self.walk.begin_record(capture)?,
                Step::RecordEnds => return Ok(true),
                Step::End => return Ok(false),
            }
        }
    }

    /// Takes plain elements of the open record straight from the decoded text, as many as there are.
    fn take_plain(&mut self, capture: &mut Capture) -> Result<(), HeadRefusal> {
        let mut stream = self.reader.stream();
        stream.get_mut().allow(TEXT_BYTES_MAX + TAG_BYTES_MAX);
        // What cannot be read is met again, and reported, by the tokenizer.
        let Ok(text) = stream.fill_buf() else {
            return Ok(());
        };
        let mut taken = 0;
        while let Some(element) = plain::plain(&text[taken..]) {
            self.walk.plain(element.name, element.value, capture);
            taken += element.length;
        }
        stream.consume(taken);
        let at = stream.offset();
        self.walk
            .bound(at)
            .map_err(|reason| self.walk.malformed(&reason, at))
    }

    fn step(&mut self, capture: &mut Capture) -> Result<Step, HeadRefusal> {
        if self.between && self.walk.may_be_plain() {
            self.take_plain(capture)?;
        }
        if std::mem::take(&mut self.walk.ends_at_once) {
            return Ok(self.walk.end(capture));
        }
        self.reader.get_mut().allow(TEXT_BYTES_MAX + TAG_BYTES_MAX);
        self.buffer.clear();
        let before = self.reader.buffer_position();
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(error) => {
                let stop = self.reader.get_ref().stop();
                return Err(stop.unwrap_or_else(|| self.walk.malformed(&describe(&error), before)));
            }
        };
        let at = self.reader.buffer_position();
        self.between = matches!(event, Event::Start(_) | Event::End(_) | Event::Empty(_));
        let result = self.walk.event(event, at, capture);
        self.walk.first = false;
        result.map_err(|reason| self.walk.malformed(&reason, before))
    }
}

/// A tokenizer's error in our words; it names tags, never content.
fn describe(error: &quick_xml::Error) -> String {
    match error {
        quick_xml::Error::Syntax(quick_xml::errors::SyntaxError::InvalidBangMarkup) => {
            "`<!` that begins neither a comment nor a CDATA section".into()
        }
        quick_xml::Error::Syntax(_) => {
            "the document ends inside a tag, a comment or a CDATA section; it is truncated".into()
        }
        // quick-xml quotes what it found, which may be a value.
        quick_xml::Error::IllFormed(_) => {
            "an end tag that does not match its start tag, or a tag or comment that is not closed"
                .into()
        }
        _ => "is not well-formed XML".into(),
    }
}

type Stepped = Result<Step, String>;

impl Walk<'_> {
    fn event(&mut self, event: Event<'_>, at: u64, capture: &mut Capture) -> Stepped {
        self.bound(at)?;
        match event {
            Event::Start(start) => self.start(&start, at, capture),
            Event::Empty(start) => self.empty(&start, at, capture),
            Event::End(_) => Ok(self.end(capture)),
            Event::Text(text) => {
                xml::character_data(&text)?;
                self.text(&text, capture)
            }
            Event::CData(text) if self.stack.len() == 1 => Err(format!(
                "a CDATA section of {} bytes outside the root element",
                text.len()
            )),
            Event::CData(text) => self.text(&text, capture),
            Event::GeneralRef(name) => {
                let found = xml::resolve(&name)?;
                if self.stack.len() == 1 {
                    return Err("a reference outside the root element".into());
                }
                self.text(found.encode_utf8(&mut [0; 4]), capture)
            }
            Event::Comment(_) => Ok(Step::On),
            Event::Decl(declaration) if self.first => {
                xml::declared(declaration.strip_prefix("xml").unwrap_or_default())?;
                Ok(Step::On)
            }
            Event::Decl(_) => Err("an XML declaration that is not at the beginning".into()),
            Event::PI(_) => Err("a processing instruction; remove it".into()),
            Event::DocType(_) => Err(
                "a document type declaration (DTD); remove it: entities and DTDs are not taken"
                    .into(),
            ),
            Event::Eof if self.stack.len() > 1 => {
                Err("the document ends before its elements are closed; it is truncated".into())
            }
            Event::Eof if !self.closed => Err("the document has no root element".into()),
            Event::Eof => Ok(Step::End),
        }
    }

    /// Bounds what a head or one record may take.
    fn bound(&self, at: u64) -> Result<(), String> {
        if self.record_depth > 0 && at - self.record_start > RECORD_BYTES_MAX {
            return Err(format!("a record is longer than {RECORD_BYTES_MAX} bytes"));
        }
        if self.records > 0
            && self.record_depth == 0
            && at - self.record_start > RECORD_BYTES_MAX + HEAD_BYTES_MAX
        {
            return Err(format!(
                "more than {HEAD_BYTES_MAX} bytes without a record; only records are taken after the first"
            ));
        }
        if self.records == 0 && at > HEAD_BYTES_MAX {
            return Err(format!("no record within the first {HEAD_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    fn start(&mut self, tag: &BytesStart<'_>, at: u64, capture: &mut Capture) -> Stepped {
        self.check_tag(tag)?;
        let name = tag.local_name().into_inner();
        let top = self.stack.len() - 1;
        let Frame { node: parent, last } = self.stack[top];
        let in_record = self.record_depth > 0;
        let (tree, guess) = match self.record {
            Some(tree) if in_record => (tree, &mut self.record_guess),
            _ => (self.head, &mut self.head_guess),
        };
        let node = match &self.leaf {
            Some(leaf) => {
                capture.nested(leaf.column);
                NONE
            }
            None => guess.step(tree, parent, last, name),
        };
        if top == 0 && node == NONE {
            let expected: Vec<&str> = tree.children(0).collect();
            if name == SOAP_ROOT {
                return Err(format!(
                    "a SOAP envelope came; expected the packet itself, whose root element is `{}`: whoever bridges must take it out of the envelope, \
                     undo its escaping, and see that it is in the encoding it declares",
                    expected.join("` or `")
                ));
            }
            return Err(format!(
                "the root element is `{}`; expected `{}`",
                mask::word(name, expected.iter().copied()),
                expected.join("` or `")
            ));
        }
        if node != NONE {
            self.stack[top].last = node;
        }
        self.stack.push(Frame { node, last: NONE });
        match tree.target(node) {
            ElementTarget::Value(_) if !in_record && self.records > 0 => {
                return Err(format!(
                    "`{name}` comes after the first record; the head must come before the records"
                ));
            }
            ElementTarget::Value(column) => {
                if capture.begin(column) {
                    self.leaf = Some(Leaf {
                        column,
                        depth: self.stack.len(),
                    });
                } else if !in_record {
                    return Err(format!("`{}` occurs twice in the head", tree.path(column)));
                }
            }
            ElementTarget::Record
                if !in_record && (self.records == 0 || node == self.record_node) =>
            {
                self.record_node = node;
                self.record_depth = self.stack.len();
                self.record_start = at;
                self.record_attributes.clear();
                self.record_attributes.push_str(tag.attributes_raw());
                self.records += 1;
                return Ok(Step::RecordBegins);
            }
            ElementTarget::Record | ElementTarget::Nothing => {}
        }
        if in_record || self.records == 0 {
            take_attributes(tree, node, tag.attributes_raw(), capture)?;
        }
        Ok(Step::On)
    }

    /// An element without content. A record without content begins here and ends with the next step.
    fn empty(&mut self, tag: &BytesStart<'_>, at: u64, capture: &mut Capture) -> Stepped {
        match self.start(tag, at, capture)? {
            Step::RecordBegins => {
                self.ends_at_once = true;
                Ok(Step::RecordBegins)
            }
            _ => Ok(self.end(capture)),
        }
    }

    /// Whether the next element may be a child of the open record.
    fn may_be_plain(&self) -> bool {
        self.record.is_some()
            && self.record_depth == self.stack.len()
            && self.leaf.is_none()
            && self.stack.len() <= DEPTH_MAX
            && !self.ends_at_once
    }

    /// What `start`, `text` and `end` would do for a plain child of the open record.
    fn plain(&mut self, name: &str, value: &str, capture: &mut Capture) {
        let (Some(tree), Some(frame)) = (self.record, self.stack.last_mut()) else {
            return;
        };
        let node = self.record_guess.step(tree, frame.node, frame.last, name);
        if node != NONE {
            frame.last = node;
        }
        if let ElementTarget::Value(column) = tree.target(node) {
            capture.whole(column, value);
        }
    }

    /// Empties the capture and takes the attributes of the record's own element.
    fn begin_record(&mut self, capture: &mut Capture) -> Result<(), HeadRefusal> {
        capture.clear();
        if let (Some(tree), Some(frame)) = (self.record, self.stack.last_mut()) {
            frame.node = 0;
            take_attributes(tree, 0, &self.record_attributes, capture)
                .map_err(|reason| self.malformed(&reason, self.record_start))?;
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        if self.closed {
            return Err("a second root element; expected the document to end".into());
        }
        if self.stack.len() > DEPTH_MAX {
            return Err(format!("elements nested deeper than {DEPTH_MAX}"));
        }
        if tag.len() > TAG_BYTES_MAX {
            return Err(format!("a tag is longer than {TAG_BYTES_MAX} bytes"));
        }
        let name = tag.name().into_inner();
        if name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "an element's name is longer than {NAME_BYTES_MAX} bytes"
            ));
        }
        self.well_formed.open(tag)
    }

    fn end(&mut self, capture: &mut Capture) -> Step {
        let depth = self.stack.len();
        if self.leaf.as_ref().is_some_and(|leaf| leaf.depth == depth)
            && let Some(leaf) = self.leaf.take()
        {
            capture.end(leaf.column);
        }
        self.well_formed.close();
        self.stack.pop();
        self.closed = self.stack.len() == 1;
        if depth == self.record_depth {
            self.record_depth = 0;
            return Step::RecordEnds;
        }
        Step::On
    }

    fn text(&mut self, text: &str, capture: &mut Capture) -> Stepped {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a text is longer than {TEXT_BYTES_MAX} bytes"));
        }
        match &self.leaf {
            Some(leaf) if leaf.depth == self.stack.len() => {
                if capture.length(leaf.column) + text.len() > TEXT_BYTES_MAX {
                    return Err(format!("a text is longer than {TEXT_BYTES_MAX} bytes"));
                }
                capture.push(text);
            }
            _ if self.stack.len() == 1 && !text.chars().all(xml::is_space) => {
                return Err(if self.closed {
                    "text after the root element"
                } else {
                    "text before the root element"
                }
                .into());
            }
            _ => {}
        }
        Ok(Step::On)
    }

    fn malformed(&self, reason: &str, at: u64) -> HeadRefusal {
        let place = match self.records {
            0 => "in the head".to_string(),
            records if self.record_depth > 0 => format!("in record {records}"),
            records => format!("after record {records}"),
        };
        HeadRefusal::new(
            DecodeErrorKind::Malformed,
            format!("{reason} ({place}, near byte {at} of the text in UTF-8)"),
        )
    }
}
