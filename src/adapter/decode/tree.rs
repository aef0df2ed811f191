//! Paths of a manifest, compiled for walking a document: which element leads where.
//!
//! Knows names and nesting only; what a value means is `rows`' business.

/// No node: an element nobody asked for.
pub(super) const NONE: u32 = u32::MAX;

/// What an element is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementTarget {
    Nothing,
    /// Its text goes to this column.
    Value(u16),
    /// It is one record.
    Record,
}

#[derive(Debug)]
struct Node {
    name: Box<str>,
    parent: u32,
    target: ElementTarget,
    /// Sorted by [`key`].
    children: Vec<(u64, u32)>,
    attributes: Vec<(Box<str>, u16)>,
}

/// A tree of element names. Node 0 is the document, or the record for paths inside a record.
#[derive(Debug)]
pub(crate) struct PathTree {
    nodes: Vec<Node>,
    columns: Vec<String>,
}

impl PathTree {
    pub(crate) fn new() -> PathTree {
        PathTree {
            nodes: vec![Node {
                name: "".into(),
                parent: NONE,
                target: ElementTarget::Nothing,
                children: Vec::new(),
                attributes: Vec::new(),
            }],
            columns: Vec::new(),
        }
    }

    /// Adds a value's path (`A/B`, `A/@x`, `@x`) and returns its column; the same path has one column.
    /// Fails with a sentence when one path lies inside the value of another.
    pub(crate) fn value(&mut self, path: &str) -> Result<u16, String> {
        if let Some(column) = self.column(path) {
            return Ok(column);
        }
        let column =
            u16::try_from(self.columns.len()).map_err(|_| "maps too many elements".to_string())?;
        let (elements, attribute) = match path.rsplit_once('@') {
            Some((elements, attribute)) => (elements.trim_end_matches('/'), Some(attribute)),
            None => (path, None),
        };
        let node = self.reach(elements)?;
        match attribute {
            Some(name) => self.nodes[node as usize]
                .attributes
                .push((name.into(), column)),
            None if !self.nodes[node as usize].children.is_empty() => {
                return Err(format!(
                    "`{path}` is mapped as a value, but other paths lie inside it"
                ));
            }
            None => self.nodes[node as usize].target = ElementTarget::Value(column),
        }
        self.columns.push(path.to_string());
        Ok(column)
    }

    /// Marks the path of one record.
    pub(crate) fn record(&mut self, path: &str) -> Result<u32, String> {
        let node = self.reach(path)?;
        match self.nodes[node as usize].target {
            ElementTarget::Value(_) => Err(format!(
                "`{path}` is the record's path and mapped as a value too"
            )),
            _ => {
                self.nodes[node as usize].target = ElementTarget::Record;
                Ok(node)
            }
        }
    }

    fn reach(&mut self, path: &str) -> Result<u32, String> {
        let mut at = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if matches!(self.nodes[at as usize].target, ElementTarget::Value(_)) {
                return Err(format!(
                    "`{path}` lies inside an element that is mapped as a value"
                ));
            }
            at = match self.find(at, name) {
                NONE => self.add(at, name),
                node => node,
            };
        }
        Ok(at)
    }

    fn add(&mut self, parent: u32, name: &str) -> u32 {
        let node = self.nodes.len() as u32;
        self.nodes.push(Node {
            name: name.into(),
            parent,
            target: ElementTarget::Nothing,
            children: Vec::new(),
            attributes: Vec::new(),
        });
        let children = &mut self.nodes[parent as usize].children;
        children.push((key(name), node));
        children.sort_unstable();
        node
    }

    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn column(&self, path: &str) -> Option<u16> {
        self.columns
            .iter()
            .position(|column| column == path)
            .map(|at| at as u16)
    }

    /// The path of a column, as the manifest has it.
    pub(crate) fn path(&self, column: u16) -> &str {
        &self.columns[usize::from(column)]
    }

    pub(super) fn target(&self, node: u32) -> ElementTarget {
        if node == NONE {
            ElementTarget::Nothing
        } else {
            self.nodes[node as usize].target
        }
    }

    /// Attributes wanted of an element.
    pub(super) fn attributes(&self, node: u32) -> &[(Box<str>, u16)] {
        if node == NONE {
            &[]
        } else {
            &self.nodes[node as usize].attributes
        }
    }

    /// The child of that local name, or [`NONE`].
    pub(super) fn find(&self, parent: u32, name: &str) -> u32 {
        if parent == NONE {
            return NONE;
        }
        let (children, wanted) = (&self.nodes[parent as usize].children, key(name));
        let first = children.partition_point(|(key, _)| *key < wanted);
        let mut alike = children[first..]
            .iter()
            .take_while(|(key, _)| *key == wanted)
            .map(|(_, node)| *node);
        alike
            .find(|node| &*self.nodes[*node as usize].name == name)
            .unwrap_or(NONE)
    }

    /// Whether `node` is the child of `parent` of that name.
    pub(super) fn is_child(&self, node: u32, parent: u32, name: &str) -> bool {
        self.nodes
            .get(node as usize)
            .is_some_and(|node| node.parent == parent && &*node.name == name)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Names of the children of a node, for refusals.
    pub(super) fn children(&self, node: u32) -> impl Iterator<Item = &str> {
        self.nodes[node as usize]
            .children
            .iter()
            .map(|(_, child)| &*self.nodes[*child as usize].name)
    }
}

/// The first eight bytes and the length: nearly always different for different names.
fn key(name: &str) -> u64 {
    let mut bytes = [0; 8];
    let count = name.len().min(8);
    bytes[..count].copy_from_slice(&name.as_bytes()[..count]);
    u64::from_be_bytes(bytes) ^ name.len() as u64
}

/// Follows a document down a tree, guessing that elements come in the order they came last time.
#[derive(Debug, Default)]
pub(super) struct Guess {
    /// Per node: the node that followed it, or its first child, when it was seen last.
    next: Vec<u32>,
}

impl Guess {
    pub(super) fn for_tree(tree: &PathTree) -> Guess {
        Guess {
            next: vec![NONE; tree.len() * 2],
        }
    }

    /// The child `name` of `parent`, where `last` was the sibling before it.
    pub(super) fn step(&mut self, tree: &PathTree, parent: u32, last: u32, name: &str) -> u32 {
        if parent == NONE {
            return NONE;
        }
        let before = if last == NONE {
            tree.len() + parent as usize
        } else {
            last as usize
        };
        let guess = self.next[before];
        if tree.is_child(guess, parent, name) {
            return guess;
        }
        let found = tree.find(parent, name);
        if found != NONE {
            self.next[before] = found;
        }
        found
    }
}

/// The texts taken from one record or head, by column; reused for the next.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    text: String,
    columns: Vec<Column>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Column {
    start: u32,
    end: u32,
    state: ElementState,
}

/// How an element was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ElementState {
    #[default]
    Absent,
    Present,
    Repeated,
    /// Something other than text was inside.
    Nested,
}

impl Capture {
    pub(crate) fn for_tree(tree: &PathTree) -> Capture {
        Capture {
            text: String::new(),
            columns: vec![Column::default(); tree.columns()],
        }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.columns.fill(Column::default());
    }

    /// Begins a value; false when the column has one already.
    pub(super) fn begin(&mut self, column: u16) -> bool {
        let start = self.text.len() as u32;
        let column = &mut self.columns[usize::from(column)];
        if column.state != ElementState::Absent {
            column.state = ElementState::Repeated;
            return false;
        }
        *column = Column {
            start,
            end: start,
            state: ElementState::Present,
        };
        true
    }

    /// Adds to the value begun last.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Bytes of the value begun last.
    pub(super) fn length(&self, column: u16) -> usize {
        self.text.len() - self.columns[usize::from(column)].start as usize
    }

    pub(super) fn end(&mut self, column: u16) {
        self.columns[usize::from(column)].end = self.text.len() as u32;
    }

    pub(super) fn nested(&mut self, column: u16) {
        self.columns[usize::from(column)].state = ElementState::Nested;
    }

    pub(super) fn whole(&mut self, column: u16, text: &str) -> bool {
        let new = self.begin(column);
        if new {
            self.push(text);
            self.end(column);
        }
        new
    }

    pub(crate) fn state(&self, column: u16) -> ElementState {
        self.columns[usize::from(column)].state
    }

    /// The trimmed text of a column; `None` when absent or empty.
    pub(crate) fn value(&self, column: u16) -> Option<&str> {
        let Column { start, end, .. } = self.columns[usize::from(column)];
        let text = self.text[start as usize..end as usize].trim();
        (!text.is_empty()).then_some(text)
    }
}
