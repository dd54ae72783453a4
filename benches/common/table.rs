//! Figures beside their peers, as they are measured and printed.

use crate::common::process::Cost;

/// A figure and its peer, as they are printed.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) ours: String,
    pub(crate) peer: String,
    pub(crate) ratio: f64,
}

impl Row {
    /// Printed as soon as it is measured.
    pub(crate) fn print(self) {
        let Self { what, ours, peer, ratio } = self;
        println!("{what:<44} {ours:>22} {peer:>34} {ratio:>7.2}");
    }
}

/// The heading of the table.
pub(crate) fn head() {
    println!("{:<44} {:>22} {:>34} {:>7}", "measure", "ours", "peer", "ratio");
}

/// Runs the measures whose names were given, or all, under the heading of the table.
pub(crate) fn measure<const N: usize>(measures: [(&str, fn()); N]) {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    head();
    for (name, measure) in measures {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure();
        }
    }
}

/// Medians of what each of these gives, `runs` times each and in turn, so that whatever else the
/// machine does meets all of them alike.
pub(crate) fn medians<const N: usize>(
    runs: usize,
    mut ways: [&mut dyn FnMut() -> f64; N],
) -> [f64; N] {
    let mut figures = [const { Vec::new() }; N];
    for _ in 0..runs {
        for (figures, way) in figures.iter_mut().zip(&mut ways) {
            figures.push(way());
        }
    }
    figures.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    })
}

/// Wall time beside wall time, with what each took of the processors.
pub(crate) fn against(what: &'static str, ours: Cost, peer: &str, theirs: Cost) -> Row {
    let shown = |cost: &Cost| match cost.cpu.is_zero() {
        true => format!("{:.2?}", cost.wall),
        false => format!("{:.2?} ({:.1} CPU-s)", cost.wall, cost.cpu.as_secs_f64()),
    };
    let ratio = ours.wall.as_secs_f64() / theirs.wall.as_secs_f64();
    Row { what, ours: shown(&ours), peer: format!("{peer}: {}", shown(&theirs)), ratio }
}
