//! What carrying out rules may cost, in steps as upstream counts them.

/// Steps of one expression, and of all for one object.
const ONE: u64 = 1_000_000;
const ALL: u64 = 10_000_000;

/// Why a value is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What went wrong.
    Said(String),
    /// It takes too many steps.
    Spent,
}

impl Fault {
    pub fn overload() -> Fault {
        Fault::Said("no such overload".to_owned())
    }

    pub fn said(why: impl Into<String>) -> Fault {
        Fault::Said(why.into())
    }
}

/// Counts steps.
#[derive(Debug)]
pub(crate) struct Meter {
    one: u64,
    all: u64,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { one: ONE, all: ALL }
    }
}

impl Meter {
    /// Begins an expression; whether anything is left.
    pub fn begin(&mut self) -> bool {
        self.one = ONE.min(self.all);
        self.all > 0
    }

    /// Whether an expression ran out of what all have together, and not of its own.
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    pub fn spend(&mut self, steps: u64) -> Result<(), Fault> {
        if self.one < steps {
            self.all -= self.one.min(self.all);
            self.one = 0;
            return Err(Fault::Spent);
        }
        self.one -= steps;
        self.all -= steps;
        Ok(())
    }

    /// Steps for so many letters.
    pub fn letters(&mut self, count: usize) -> Result<(), Fault> {
        self.spend(count as u64 / 10)
    }
}
