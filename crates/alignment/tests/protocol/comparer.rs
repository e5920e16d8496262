//! What the comparer of three holders sees: the size of every overlap, and nothing more. Recorded from its folder at
//! the moment of its verdict: all that ever came to it lies there, blinded once more by its own scalar.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use hashvfl_alignment::curve::POINT_BYTES;

use crate::fixture::{Fixture, RelayHub, ids, items_of};

type Tag = [u8; 16];

/// Of each set, in the order in which the comparer has them.
#[derive(Clone)]
struct ComparerView {
    tags: Vec<Vec<Tag>>,
    /// The first bytes of the points that it passes on.
    points: Vec<Vec<Tag>>,
}

impl ComparerView {
    fn read(folder: &Path) -> Self {
        let items = |name: String, item_bytes: usize| -> Vec<Tag> {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            items_of(&bytes).chunks_exact(item_bytes).map(|item| item[..16].try_into().unwrap()).collect()
        };
        Self {
            tags: (0..3).map(|set| items(format!("tags-{set}"), 16)).collect(),
            points: (0..3).map(|set| items(format!("sorted-{set}"), POINT_BYTES)).collect(),
        }
    }

    /// How many tags are in exactly these sets.
    fn overlaps(&self) -> BTreeMap<Vec<usize>, usize> {
        let mut sets_of: HashMap<Tag, Vec<usize>> = HashMap::new();
        for (set, tags) in self.tags.iter().enumerate() {
            tags.iter().for_each(|tag| sets_of.entry(*tag).or_default().push(set));
        }
        let mut sizes = BTreeMap::new();
        sets_of.into_values().for_each(|sets| *sizes.entry(sets).or_default() += 1);
        sizes
    }
}

/// Records of an alignment that `c` compares.
fn watched(fixture: &Fixture) -> ComparerView {
    let seen = Arc::new(Mutex::new(None));
    let (folder, recorded) = (fixture.path("c"), seen.clone());
    let hub = RelayHub::meddling(Box::new(move |from, _, frame| {
        let compared = || (0..3).all(|set| folder.join(format!("verdict-{set}")).exists());
        let mut recorded = recorded.lock().unwrap();
        if from == "c" && recorded.is_none() && compared() {
            *recorded = Some(ComparerView::read(&folder));
        }
        vec![frame]
    }));
    assert!(fixture.run_all(&hub).iter().all(Result::is_ok));
    let seen = seen.lock().unwrap();
    seen.clone().expect("a verdict of the comparer's")
}

#[test]
fn a_comparer_of_three_sees_the_size_of_every_overlap_and_nothing_more() {
    let ranges: [(&[usize], u32, u32); 7] = [
        (&[0], 0, 300),
        (&[1], 300, 700),
        (&[2], 700, 1_200),
        (&[0, 1], 1_200, 1_250),
        (&[0, 2], 1_250, 1_350),
        (&[1, 2], 1_350, 1_500),
        (&[0, 1, 2], 1_500, 1_900),
    ];
    let table = |holder: usize| -> Vec<String> {
        let held = ranges.iter().filter(|(holders, ..)| holders.contains(&holder));
        held.flat_map(|(_, from, to)| ids(*from, *to, 7 * holder as u32)).collect()
    };
    let tables: Vec<Vec<String>> = (0..3).map(table).collect();
    let seen = watched(&Fixture::new(&tables));

    let expected = ranges.iter().map(|(holders, from, to)| (holders.to_vec(), (to - from) as usize));
    assert_eq!(seen.overlaps(), expected.collect());
    // Which record a tag is does not follow from its place: the order is that of the tags themselves.
    assert!(seen.tags.iter().all(|tags| tags.is_sorted_by(|one, next| one < next)));

    // Beside tags, nothing that it holds of one set is equal to anything of another: under fewer scalars than all,
    // equal ids look unlike. The set that it blinds last is the exception that is no other: its points are its tags.
    assert_eq!(seen.points[0], seen.tags[0]);
    let tags: BTreeSet<Tag> = seen.tags.iter().flatten().copied().collect();
    let [theirs, own] = [1, 2].map(|set| seen.points[set].iter().copied().collect::<BTreeSet<Tag>>());
    assert!(theirs.is_disjoint(&tags) && own.is_disjoint(&tags) && theirs.is_disjoint(&own));

    // The same tables again: nothing of one alignment is found in another.
    let again = watched(&Fixture::new(&tables));
    let all = |seen: &ComparerView| {
        seen.tags.iter().chain(&seen.points).flatten().copied().collect::<BTreeSet<Tag>>()
    };
    assert_eq!(again.overlaps(), seen.overlaps());
    assert!(all(&again).is_disjoint(&all(&seen)));
}
