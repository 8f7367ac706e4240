//! The one table: a row for each figure, a column for each contender, and the ratios between them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Repeated measurements of one figure.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn shown(&self) -> String {
        let (Some(least), Some(most)) = (self.0.first(), self.0.last()) else { return "-".into() };
        match self.0.len() {
            1 => number(self.median()),
            _ => format!("{} ({}-{})", number(self.median()), number(*least), number(*most)),
        }
    }
}

impl<I: IntoIterator<Item = f64>> From<I> for Spread {
    fn from(values: I) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Spread(values)
    }
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
}

/// One figure of all contenders.
#[derive(Clone, Debug)]
pub struct Row {
    pub figure: String,
    pub better: Better,
    /// What issue 5 wants of us.
    pub wanted: &'static str,
    cells: BTreeMap<String, Spread>,
}

impl Row {
    pub fn new(figure: impl Into<String>, better: Better, wanted: &'static str) -> Row {
        Row { figure: figure.into(), better, wanted, cells: BTreeMap::new() }
    }

    pub fn add(&mut self, contender: &str, spread: impl Into<Spread>) {
        let spread = spread.into();
        if !spread.0.is_empty() {
            self.cells.insert(contender.to_string(), spread);
        }
    }

    /// How many times as good as `other` we are; above 1 we are better.
    fn ratio(&self, other: f64, ours: f64) -> String {
        let ratio = match self.better {
            Better::Less => other / ours,
            Better::More => ours / other,
        };
        if ratio.is_finite() { format!("{ratio:.2}") } else { "-".into() }
    }

    fn best_peer(&self) -> Option<f64> {
        let peers = self.cells.iter().filter(|(name, _)| *name != FLOOR && *name != OURS);
        let medians = peers.map(|(_, spread)| spread.median());
        match self.better {
            Better::Less => medians.reduce(f64::min),
            Better::More => medians.reduce(f64::max),
        }
    }
}

pub const FLOOR: &str = "floor";
pub const OURS: &str = "mailchute";

/// The rows in Markdown.
pub fn render(rows: &[Row], peers: &[String]) -> String {
    let columns: Vec<&str> = [FLOOR, OURS].into_iter().chain(peers.iter().map(String::as_str)).collect();
    let mut lines = vec![["figure"].into_iter().chain(columns.iter().copied()).map(String::from).collect::<Vec<_>>()];
    lines[0].extend(["ours : floor", "ours : best peer", "wanted"].map(String::from));
    for row in rows {
        let cell = |name: &&str| row.cells.get(*name).map_or("-".into(), Spread::shown);
        let mut line = vec![row.figure.clone()];
        line.extend(columns.iter().map(cell));
        let ours = row.cells.get(OURS).map_or(f64::NAN, Spread::median);
        line.push(row.cells.get(FLOOR).map_or("-".into(), |floor| row.ratio(floor.median(), ours)));
        line.push(row.best_peer().map_or("-".into(), |peer| row.ratio(peer, ours)));
        line.push(row.wanted.to_string());
        lines.push(line);
    }
    let widths: Vec<usize> =
        (0..lines[0].len()).map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "| {} ", "-".repeat(*width));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
