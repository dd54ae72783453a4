//! What the benches share: a served vault with its parties, what programs take, and tables of ratios.

pub(crate) mod disk;
pub(crate) mod process;
pub(crate) mod served;
pub(crate) mod table;
pub(crate) mod uploads;
pub(crate) mod vault;
