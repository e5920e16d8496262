//! Which variable depends most on which: the tree with the largest mutual information between neighbours.
//!
//! Source: Chow and Liu, *Approximating discrete probability distributions with dependence trees* (IEEE Trans. Inf.
//! Theory 1968): that tree is the likeliest one.

/// A variable and the one that says most about it, among those that come before it in the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeEdge {
    /// The variable.
    pub child: usize,
    /// The one before it.
    pub parent: usize,
    /// What they say about each other.
    pub information: f64,
}

/// The links of the best tree over `count` variables, from variable 0 on (Prim's algorithm): one fewer than variables.
pub fn tree(count: usize, information: impl Fn(usize, usize) -> f64) -> Vec<TreeEdge> {
    let from =
        |parent: usize, child: usize| TreeEdge { child, parent, information: information(parent, child) };
    // The best link so far of each variable that is not in the tree yet.
    let mut waiting: Vec<TreeEdge> = (1..count).map(|child| from(0, child)).collect();
    let mut links = Vec::with_capacity(waiting.len());
    while let Some(best) =
        (0..waiting.len()).max_by(|a, b| waiting[*a].information.total_cmp(&waiting[*b].information))
    {
        let link = waiting.swap_remove(best);
        links.push(link);
        for other in &mut waiting {
            let found = from(link.child, other.child);
            if found.information > other.information {
                *other = found;
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_found() {
        // Neighbours in 0 - 2 - 1 - 3 know most of each other.
        let place = [0.0_f64, 2.0, 1.0, 3.0];
        let links = tree(4, |a, b| -(place[a] - place[b]).abs());
        let pairs: Vec<(usize, usize)> = links.iter().map(|link| (link.parent, link.child)).collect();
        assert_eq!(pairs, [(0, 2), (2, 1), (1, 3)]);
        assert!(tree(1, |_, _| 0.0).is_empty());
    }
}
