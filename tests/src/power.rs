//! Computes what a disk may hold after a power cut, from the log that `tests/preload/power_log.c` writes.
//!
//! The rules are the worst case that POSIX allows. The content of a file is certain as far as it was synced; each sector written since
//! may be there or not. A name is certain once its directory was synced; of the later changes in a directory, the first few are there,
//! because journals keep their order. The store may rely on nothing else.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use crate::random::Random;

/// Bytes that a disk writes together.
const SECTOR: u64 = 512;
/// Bytes of a log record before its path.
const HEAD: usize = 17;

/// What the process did, in order.
#[derive(Debug)]
pub struct Log {
    records: Vec<Record>,
    /// The place in the file where each record ends.
    ends: Vec<u64>,
}

#[derive(Debug)]
struct Record {
    kind: u8,
    number: u64,
    path: String,
    data: Vec<u8>,
}

/// What happens to changes that were not synced.
pub enum Luck<'a> {
    /// All of them are on the disk, as if the power had not failed.
    All,
    /// Each is on the disk with this chance, in percent.
    Chance(&'a mut Random, u64),
}

impl Luck<'_> {
    /// Whether a sector, or a change of a length, is on the disk.
    fn sector(&mut self) -> bool {
        match self {
            Self::All => true,
            Self::Chance(random, percent) => random.chance(*percent),
        }
    }

    /// How many of `all` changes of names are on the disk, of which `certain` ones are certain.
    fn names(&mut self, certain: usize, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Chance(random, _) => certain + random.below(all - certain + 1),
        }
    }
}

impl Log {
    /// Reads a log.
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).expect("a log");
        let number = |from: usize, length: usize| {
            let mut number = [0; 8];
            number[..length].copy_from_slice(&bytes[from..from + length]);
            u64::from_le_bytes(number)
        };
        let (mut records, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
        while at + HEAD <= bytes.len() {
            let (path, data) = (number(at + 9, 4) as usize, number(at + 13, 4) as usize);
            let (begin, end) = (at + HEAD, at + HEAD + path + data);
            let text = String::from_utf8_lossy(&bytes[begin..begin + path]).into_owned();
            records.push(Record { kind: bytes[at], number: number(at + 1, 8), path: text, data: bytes[begin + path..end].to_vec() });
            ends.push(end as u64);
            at = end;
        }
        Self { records, ends }
    }

    /// Number of records. A cut happens before one of them.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was logged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of records that were logged when the file had this length.
    pub fn records_in(&self, bytes: u64) -> usize {
        self.ends.partition_point(|end| *end <= bytes)
    }

    /// Makes `to` what the disk may hold if the power fails before record `cut`.
    pub fn disk_after(&self, cut: usize, mut luck: Luck<'_>, to: &Path) {
        let mut model = Model { nodes: vec![Node::default()], names: HashMap::from([(String::new(), 0)]) };
        let mut begun = HashMap::new();
        for (at, record) in self.records[..cut].iter().enumerate() {
            model.step(at, record, &mut begun);
        }
        model.write(0, &self.records, &mut luck, to);
    }
}

/// A file or a directory, and its changes. Both are synced the same way.
#[derive(Debug, Default)]
struct Node {
    /// For a file: the records that changed its content.
    content: Vec<usize>,
    /// For a directory: the changes of its names.
    names: Vec<Change>,
    is_file: bool,
    /// Everything before this record is on the disk.
    synced: usize,
}

/// A change of a name in a directory.
#[derive(Debug)]
struct Change {
    at: usize,
    name: String,
    /// The node that the name has from then on.
    node: Option<usize>,
    /// The old name of a renamed file: either both names change or neither.
    from: Option<String>,
}

#[derive(Debug)]
struct Model {
    nodes: Vec<Node>,
    /// The node of each path while the process runs.
    names: HashMap<String, usize>,
}

/// The directory, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Model {
    fn step(&mut self, at: usize, record: &Record, begun: &mut HashMap<u64, (usize, usize)>) {
        let Record { kind, number, path, data } = record;
        match kind {
            b'C' | b'D' => {
                self.nodes.push(Node { is_file: *kind == b'C', ..Node::default() });
                let node = self.nodes.len() - 1;
                self.change(at, path, Some(node), None);
            }
            b'U' | b'X' => self.change(at, path, None, None),
            b'R' => {
                let to = String::from_utf8_lossy(data).into_owned();
                assert_eq!(split(path).0, split(&to).0, "renamed from one directory to another, which is not modelled");
                let node = self.names.remove(path).unwrap_or_else(|| panic!("renamed before it was made: {path}"));
                self.change(at, &to, Some(node), Some(split(path).1.to_owned()));
                let below = format!("{path}/");
                let moved: Vec<_> = self.names.keys().filter(|name| name.starts_with(&below)).cloned().collect();
                for name in moved {
                    let node = self.names.remove(&name).expect("a name");
                    self.names.insert(format!("{to}/{}", &name[below.len()..]), node);
                }
            }
            // A file without a name does not matter.
            b'W' | b'T' => self.names.get(path).copied().into_iter().for_each(|node| self.nodes[node].content.push(at)),
            b'S' => drop(self.names.get(path).map(|node| begun.insert(*number, (at, *node)))),
            b'E' => {
                if let Some((at, node)) = begun.remove(number) {
                    self.nodes[node].synced = self.nodes[node].synced.max(at);
                }
            }
            other => panic!("no kind {other} of record"),
        }
    }

    fn change(&mut self, at: usize, path: &str, node: Option<usize>, from: Option<String>) {
        let (directory, name) = split(path);
        let directory = *self.names.get(directory).unwrap_or_else(|| panic!("no directory of {path}"));
        self.nodes[directory].names.push(Change { at, name: name.to_owned(), node, from });
        match node {
            Some(node) => drop(self.names.insert(path.to_owned(), node)),
            None => drop(self.names.remove(path)),
        }
    }

    fn write(&self, node: usize, records: &[Record], luck: &mut Luck<'_>, to: &Path) {
        let node = &self.nodes[node];
        if node.is_file {
            fs::write(to, content(node, records, luck)).expect("a file");
            return;
        }
        fs::create_dir_all(to).expect("a directory");
        let certain = node.names.iter().take_while(|change| change.at < node.synced).count();
        let mut names = BTreeMap::new();
        for change in &node.names[..luck.names(certain, node.names.len())] {
            if let Some(from) = &change.from {
                names.remove(from);
            }
            match change.node {
                Some(node) => drop(names.insert(change.name.clone(), node)),
                None => drop(names.remove(&change.name)),
            }
        }
        for (name, node) in names {
            self.write(node, records, luck, &to.join(name));
        }
    }
}

fn content(node: &Node, records: &[Record], luck: &mut Luck<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    for at in &node.content {
        let (is_synced, record) = (*at < node.synced, &records[*at]);
        if record.kind == b'T' {
            if is_synced || luck.sector() {
                content.resize(record.number as usize, 0);
            }
            continue;
        }
        let (mut from, end) = (record.number, record.number + record.data.len() as u64);
        while from < end {
            let to = end.min((from / SECTOR + 1) * SECTOR);
            if is_synced || luck.sector() {
                let (from, to) = (from as usize, to as usize);
                if content.len() < to {
                    content.resize(to, 0);
                }
                let begin = record.number as usize;
                content[from..to].copy_from_slice(&record.data[from - begin..to - begin]);
            }
            from = to;
        }
    }
    content
}
