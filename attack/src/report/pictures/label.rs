//! Where the names of dots go, so that none covers another.

use super::axis::{LEFT, RIGHT};
use super::chart::Point;

/// Width of a character and height of a line, in a chart's pixels.
const CHARACTER: (f64, f64) = (7.2, 13.0);
const GAP: f64 = 7.0;

/// Left, top, right and bottom.
type LabelBox = [f64; 4];

/// What is taken already.
pub struct LabelPlacement {
    taken: Vec<LabelBox>,
}

impl LabelPlacement {
    /// Around dots with whiskers, which no name may cover.
    pub fn around(marks: &[Point]) -> Self {
        let taken = marks.iter().map(|dot| [dot.x - 4.0, dot.high - 4.0, dot.x + 4.0, dot.low + 4.0]);
        Self { taken: taken.collect() }
    }

    /// Left end and base line of `name` beside a dot: right of it, left of it, above or below, wherever is room
    /// first; if nowhere is, to its right.
    pub fn place(&mut self, dot: Point, name: &str) -> (f64, f64) {
        let (x, y) = (dot.x, dot.value);
        let (width, height) = (CHARACTER.0 * name.chars().count() as f64, CHARACTER.1);
        let (beside, middle) = (y + height / 3.0, x - width / 2.0);
        let (right, left) = (x + GAP, x - GAP - width);
        let (above, below) = (y - 1.5 * GAP, y + 1.5 * GAP + height / 2.0);
        let places = [
            (right, beside),
            (left, beside),
            (middle, above),
            (middle, below),
            (right, above),
            (left, above),
            (right, below),
            (left, below),
        ];
        let covered = |(x, y): (f64, f64)| [x, y - height * 0.75, x + width, y + height * 0.25];
        let free = |place: &(f64, f64)| {
            let own = covered(*place);
            own[0] >= LEFT && own[2] <= RIGHT && self.taken.iter().all(|other| apart(&own, other))
        };
        let chosen = places.into_iter().find(free).unwrap_or(places[0]);
        self.taken.push(covered(chosen));
        chosen
    }
}

fn apart(a: &LabelBox, b: &LabelBox) -> bool {
    a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_way_for_dots_edges_and_each_other() {
        let spots = [(100.0, 50.0), (120.0, 50.0), (RIGHT - 5.0, 90.0)].map(|(x, y)| Point {
            x,
            value: y,
            low: y,
            high: y,
        });
        let mut labels = LabelPlacement::around(&spots);
        assert!(labels.place(spots[0], "d=4").0 < 100.0);
        assert!(labels.place(spots[1], "d=4").0 > 120.0);
        assert!(labels.place(spots[2], "none").0 < spots[2].x);
    }
}
