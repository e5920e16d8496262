//! What a fuzzer has found: each file of the corpus is one input, and none may panic.

use std::fs;
use std::path::Path;

use hashvfl_fuzz::TARGETS;

#[test]
fn the_corpus_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut count = 0;
        for file in fs::read_dir(corpus.join(name)).unwrap() {
            target(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 50, "{name}: {count} inputs");
    }
}
