//! Which way sets and verdicts go: every holder derives all routes from the settings.
//!
//! A set starts at its owner and goes once around the ring: `at(set, 0)` is the owner, `at(set, n - 1)` the last.
//! Its final tags go from there to the comparer, the verdict back to the last, and from each holder to the one
//! before, until it is at the owner.

use crate::settings::AlignmentSettings;

/// What travels on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Load {
    /// Points of 32 bytes, blinded by all holders up to here.
    Points,
    /// Fully blinded points, cut to 16 bytes.
    Tags,
    /// A bit for each point of the set: whether all holders have it.
    Verdict,
}

impl Load {
    /// Bytes of an item; a verdict's are counted by the byte.
    pub fn item_bytes(self) -> usize {
        match self {
            Self::Points => 32,
            Self::Tags => 16,
            Self::Verdict => 1,
        }
    }
}

/// One load of one set from one holder to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// What travels.
    pub load: Load,
    /// Whose set, by place.
    pub set: u8,
    /// Points: from `at(set, hop)` to the next. Verdicts: to `at(set, hop)`. Tags: 0.
    pub hop: u8,
}

/// All routes of an alignment.
#[derive(Debug, Clone)]
pub struct Map {
    /// Number of holders.
    pub holders: usize,
    /// The comparer's place.
    pub comparer: usize,
}

impl Map {
    /// The map of these settings, which have been checked.
    pub fn new(settings: &AlignmentSettings) -> Self {
        Self { holders: settings.holders.len(), comparer: settings.place(&settings.comparer).unwrap_or(0) }
    }

    /// The holder that a set comes to after `hop` steps.
    pub fn at(&self, set: usize, hop: usize) -> usize {
        (set + hop) % self.holders
    }

    /// The holder that blinds a set last.
    pub fn last(&self, set: usize) -> usize {
        self.at(set, self.holders - 1)
    }

    /// From whom to whom; the same where nothing need travel.
    pub fn ends(&self, route: Route) -> (usize, usize) {
        let (set, hop) = (usize::from(route.set), usize::from(route.hop));
        match route.load {
            Load::Points => (self.at(set, hop), self.at(set, hop + 1)),
            Load::Tags => (self.last(set), self.comparer),
            Load::Verdict if hop == self.holders - 1 => (self.comparer, self.last(set)),
            Load::Verdict => (self.at(set, hop + 1), self.at(set, hop)),
        }
    }

    /// All routes on which something travels.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for set in 0..self.holders as u8 {
            let last = self.holders as u8 - 1;
            routes.extend((0..last).map(|hop| Route { load: Load::Points, set, hop }));
            routes.push(Route { load: Load::Tags, set, hop: 0 });
            routes.extend((0..=last).map(|hop| Route { load: Load::Verdict, set, hop }));
        }
        routes.retain(|route| {
            let (from, to) = self.ends(*route);
            from != to
        });
        routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_passes_every_holder_and_its_verdict_comes_back() {
        for holders in 2..=8 {
            for comparer in 0..holders {
                let map = Map { holders, comparer };
                let routes = map.routes();
                for set in 0..holders {
                    let of =
                        |load| routes.iter().filter(move |r| r.load == load && usize::from(r.set) == set);
                    let points: Vec<_> = of(Load::Points).map(|route| map.ends(*route)).collect();
                    assert_eq!(points.len(), holders - 1);
                    assert_eq!(points[0].0, set);
                    assert!(points.windows(2).all(|pair| pair[0].1 == pair[1].0));
                    assert_eq!(points[holders - 2].1, map.last(set));
                    let local = map.last(set) == comparer;
                    assert_eq!(of(Load::Tags).count(), usize::from(!local));
                    assert_eq!(of(Load::Verdict).count(), holders - usize::from(local));
                    assert!(of(Load::Verdict).any(|route| map.ends(*route).1 == set));
                }
            }
        }
    }
}
