//! What evaluating a path may cost: counted in steps, so that it is the same on every machine.

/// Steps one path may take on one document; all bindings of one answer share them. A step is a value that is looked at, 64 bytes that are
/// compared, or four positions of a pattern at one byte. Our decision: some ten milliseconds of one processor, at most fifty.
pub const PATH_STEPS_MAX: u64 = 600_000;
/// Values one path may find; each takes eight bytes while it is held.
pub const PATH_NODES_MAX: usize = 500_000;

/// Bytes that are compared in one step.
const COMPARED_BYTES: usize = 64;
/// Bytes of numbers that are compared as decimals in one step.
const NUMBER_BYTES: usize = 16;

/// A path did not come to its end within its budget. What it would have found is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// [`PATH_STEPS_MAX`].
    #[error("it takes more than {PATH_STEPS_MAX} steps on this document; name more of the way, or fewer patterns")]
    Steps,
    /// [`PATH_NODES_MAX`].
    #[error("it finds more than {PATH_NODES_MAX} values in this document; name more of the way")]
    Nodes,
    /// Several documents together.
    #[error("it takes too many steps on these documents together; try it on fewer at once")]
    Together,
    /// A pattern that stands in the document is longer, or larger, than one may be.
    #[error("a pattern for `match` or `search` that stands in this document is too large")]
    Pattern,
}

/// What is left of a budget.
#[derive(Debug)]
pub struct Steps(u64);

impl Default for Steps {
    fn default() -> Self {
        Self(PATH_STEPS_MAX)
    }
}

impl Steps {
    /// Takes steps off.
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), OverBudget> {
        // What it would go beyond is used up: whatever shares it ends here too.
        let left = self.0.checked_sub(steps);
        self.0 = left.unwrap_or_default();
        left.map(|_| ()).ok_or(OverBudget::Steps)
    }

    /// Takes the steps that it costs to compare or count this number of bytes.
    pub(super) fn compare(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.spend(1 + (bytes / COMPARED_BYTES) as u64)
    }

    /// Takes the steps that it costs to compare numbers whose texts have this number of bytes; 0: numbers without a text.
    pub(super) fn numbers(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.spend(if bytes == 0 { 1 } else { 8 + (bytes / NUMBER_BYTES) as u64 })
    }

    /// How many were taken.
    pub fn taken(&self) -> u64 {
        PATH_STEPS_MAX - self.0
    }
}
