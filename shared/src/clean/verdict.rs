//! What becomes of each row of a batch, and why.

use std::collections::BTreeMap;

use arrow::buffer::BooleanBuffer;

/// Rows by row number in the batch.
pub(super) type Mask = BooleanBuffer;

/// What is wrong with a column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It does not fit the column's type.
    Cast,
    /// It is not among the column's values.
    Values,
    /// It is null, or becomes null, where the column allows none.
    Null,
}

/// A value of an output column, by index, that is not as the dataset wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub kind: FaultKind,
    pub column: usize,
}

/// Why rows are set aside.
#[derive(Debug)]
pub(super) struct Reason {
    /// What they are counted by, such as `cast: COLUMN`.
    pub key: String,
    /// The value that is wrong, where it is one.
    pub fault: Option<Fault>,
    pub rows: Mask,
}

/// Gathers the reasons for which rows of a batch do not reach the output. Quarantine wins over leaving out.
#[derive(Debug)]
pub(super) struct Verdict {
    rows: usize,
    /// Reasons for quarantine, in the order found, each once.
    pub reasons: Vec<Reason>,
    /// Rows with a reason for quarantine.
    pub quarantined: Option<Mask>,
    /// Rows that a drop expectation or the filter leaves out.
    pub left_out: Option<Mask>,
    /// Rows that break a drop expectation, by its name.
    pub dropped: Vec<(String, Mask)>,
    /// Broken, and kept all the same: how many rows each.
    pub warnings: BTreeMap<String, u64>,
}

impl Verdict {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            rows,
            reasons: Vec::new(),
            quarantined: None,
            left_out: None,
            dropped: Vec::new(),
            warnings: BTreeMap::new(),
        }
    }

    /// Sets rows aside for a reason.
    pub(super) fn quarantine(&mut self, reason: String, rows: &Mask) {
        self.set_aside(reason, None, rows);
    }

    /// Sets rows aside for a value of theirs.
    pub(super) fn quarantine_values(&mut self, reason: String, fault: Fault, rows: &Mask) {
        self.set_aside(reason, Some(fault), rows);
    }

    fn set_aside(&mut self, key: String, fault: Option<Fault>, rows: &Mask) {
        if rows.count_set_bits() == 0 {
            return;
        }
        add(&mut self.quarantined, rows);
        match self.reasons.iter_mut().find(|known| known.key == key) {
            Some(known) => known.rows = &known.rows | rows,
            None => self.reasons.push(Reason { key, fault, rows: rows.clone() }),
        }
    }

    /// Leaves rows out.
    pub(super) fn leave_out(&mut self, rows: &Mask) {
        add(&mut self.left_out, rows);
    }

    /// Leaves rows out because they break a drop expectation.
    pub(super) fn drop(&mut self, expectation: String, rows: &Mask) {
        self.leave_out(rows);
        self.dropped.push((expectation, rows.clone()));
    }

    /// Counts rows that are kept all the same.
    pub(super) fn warn(&mut self, reason: String, rows: &Mask) {
        let count = count(rows);
        if count > 0 {
            *self.warnings.entry(reason).or_default() += count;
        }
    }

    /// The rows that reach the output; `None`: all of them.
    pub(super) fn kept(&self) -> Option<Mask> {
        let mut gone = None;
        for rows in [&self.quarantined, &self.left_out].into_iter().flatten() {
            add(&mut gone, rows);
        }
        let gone: Mask = gone?;
        (gone.count_set_bits() > 0).then(|| !&gone)
    }

    /// Rows left out that are not in quarantine.
    pub(super) fn filtered(&self) -> u64 {
        match (&self.left_out, &self.quarantined) {
            (None, _) => 0,
            (Some(left_out), None) => count(left_out),
            (Some(left_out), Some(quarantined)) => count(&without(left_out, quarantined)),
        }
    }

    /// How many rows each drop expectation left out. A row in quarantine is not among them; one that breaks two
    /// expectations counts for both.
    pub(super) fn dropped_counts(&self) -> BTreeMap<String, u64> {
        let counts = self.dropped.iter().map(|(name, rows)| match &self.quarantined {
            Some(quarantined) => (name.clone(), count(&without(rows, quarantined))),
            None => (name.clone(), count(rows)),
        });
        counts.filter(|(_, rows)| *rows > 0).collect()
    }

    /// How many rows each reason has. A row may have several.
    pub(super) fn reason_counts(&self) -> BTreeMap<String, u64> {
        self.reasons.iter().map(|reason| (reason.key.clone(), count(&reason.rows))).collect()
    }

    /// Rows of the batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

/// Adds rows to a mask.
pub(super) fn add(to: &mut Option<Mask>, rows: &Mask) {
    *to = Some(match to.take() {
        None => rows.clone(),
        Some(before) => &before | rows,
    });
}

/// The rows of one mask that are not in another.
pub(super) fn without(rows: &Mask, others: &Mask) -> Mask {
    rows & &!others
}

/// How many rows a mask names.
pub(super) fn count(rows: &Mask) -> u64 {
    u64::try_from(rows.count_set_bits()).unwrap_or(u64::MAX)
}
