//! The Chow-Liu tree: which variable depends most on which.
//!
//! Source: Chow and Liu, *Approximating discrete probability distributions with dependence trees* (IEEE Trans. Inf.
//! Theory 1968): the tree with the largest mutual
//! information between neighbours is the likeliest one.

/// A variable and the variable before it in the tree that says most about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeEdge {
    /// The variable.
    pub child: usize,
    /// The variable before it.
    pub parent: usize,
    /// Their mutual information.
    pub information: f64,
}

/// The edges of the best tree over `count` variables, from variable 0 on (Prim's algorithm); `information` is that of two
/// variables.
pub fn dependence_tree(count: usize, information: impl Fn(usize, usize) -> f64) -> Vec<TreeEdge> {
    // The best edge so far of each variable that is not in the tree yet.
    let mut waiting: Vec<TreeEdge> =
        (1..count).map(|child| TreeEdge { child, parent: 0, information: information(0, child) }).collect();
    let mut edges = Vec::with_capacity(waiting.len());
    while let Some(best) =
        (0..waiting.len()).max_by(|a, b| waiting[*a].information.total_cmp(&waiting[*b].information))
    {
        let edge = waiting.swap_remove(best);
        edges.push(edge);
        for other in &mut waiting {
            let found = information(edge.child, other.child);
            if found > other.information {
                *other = TreeEdge { child: other.child, parent: edge.child, information: found };
            }
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_found() {
        // Neighbours in 0 - 2 - 1 - 3 know most of each other.
        let place = [0.0_f64, 2.0, 1.0, 3.0];
        let edges = dependence_tree(4, |a, b| -(place[a] - place[b]).abs());
        let pairs: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.parent, edge.child)).collect();
        assert_eq!(pairs, [(0, 2), (2, 1), (1, 3)]);
        assert!(dependence_tree(1, |_, _| 0.0).is_empty());
    }
}
