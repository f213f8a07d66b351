//! What becomes of each row of a batch, and why.

use std::collections::BTreeMap;

use arrow::buffer::BooleanBuffer;

/// Rows by row number in the batch.
pub(super) type Mask = BooleanBuffer;

/// Gathers the reasons for which rows of a batch do not reach the output. Quarantine wins over leaving out.
#[derive(Debug)]
pub(super) struct Verdict {
    rows: usize,
    /// Reasons for quarantine, in the order found, each once.
    pub reasons: Vec<(String, Mask)>,
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
        if rows.count_set_bits() == 0 {
            return;
        }
        add(&mut self.quarantined, rows);
        match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => *known = &*known | rows,
            None => self.reasons.push((reason, rows.clone())),
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
        self.reasons.iter().map(|(reason, rows)| (reason.clone(), count(rows))).collect()
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
