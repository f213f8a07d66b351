//! The fields that a dataset maps, as a tree: what a walk through a record looks for, and where it puts what it finds.

use std::collections::BTreeMap;

use crate::dataset::{ColumnSpec, Condition, Step};

/// A place in a record's values: of the record itself, or of an element of the array that makes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// By index into the record's values.
    Record(usize),
    /// By index into an element's values.
    Element(usize),
}

/// A key's value: what is wanted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Its own value goes here.
    pub slots: Vec<usize>,
    /// Its keys, where it is an object.
    pub children: BTreeMap<Vec<u8>, Node>,
    /// Its elements, where it is the array that makes rows.
    pub each: Option<Box<Node>>,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    pub root: Node,
    /// For each column.
    pub columns: Vec<Slot>,
    /// For each condition.
    pub conditions: Vec<usize>,
    pub record_slots: usize,
    pub element_slots: usize,
    /// The array that makes rows, such as `payload.commits`; `None` where a record is a row.
    pub array: Option<String>,
}

impl Tree {
    /// The tree for columns and conditions, whose paths the dataset file's parser has checked.
    pub fn of(columns: &[ColumnSpec], conditions: &[Condition]) -> Result<Self, String> {
        let mut tree = Self {
            root: Node::default(),
            columns: Vec::new(),
            conditions: Vec::new(),
            record_slots: 0,
            element_slots: 0,
            array: None,
        };
        for column in columns {
            let steps = column.steps()?;
            let slot = match steps.iter().position(|step| step.each) {
                None => Slot::Record(tree.record_slot(&steps)),
                Some(at) => {
                    let (array, below) = steps.split_at(at + 1);
                    let keys: Vec<&str> = array.iter().map(|step| step.key.as_str()).collect();
                    tree.array = Some(keys.join("."));
                    let slot = tree.element_slots;
                    tree.element_slots += 1;
                    let elements = node(&mut tree.root, array).each.get_or_insert_default();
                    node(elements, below).slots.push(slot);
                    Slot::Element(slot)
                }
            };
            tree.columns.push(slot);
        }
        for condition in conditions {
            let slot = tree.record_slot(&condition.field);
            tree.conditions.push(slot);
        }
        Ok(tree)
    }

    fn record_slot(&mut self, steps: &[Step]) -> usize {
        let slot = self.record_slots;
        self.record_slots += 1;
        node(&mut self.root, steps).slots.push(slot);
        slot
    }
}

/// The node at the end of a path, made where it is not there yet.
fn node<'n>(from: &'n mut Node, steps: &[Step]) -> &'n mut Node {
    steps.iter().fold(from, |node, step| node.children.entry(step.key.as_bytes().to_vec()).or_default())
}
