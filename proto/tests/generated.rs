//! The checked-in code is what the .proto files generate; `REGENERATE=1 cargo test -p hashvfl-proto --test generated` writes
//! it. Run it after a change of a .proto file and before one of the conversions, which are compiled with it.

use std::fs;
use std::path::Path;

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(
        ["hashvfl/v1/federation.proto", "hashvfl/v1/inference.proto", "hashvfl/v1/alignment.proto"],
        [root.join("proto")],
    )
    .unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .codec_path("crate::codec::ScannedCodec")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    let fresh = fs::read_to_string(out.path().join("hashvfl.v1.rs")).unwrap();
    let kept = root.join("src/generated/hashvfl.v1.rs");
    if std::env::var_os("REGENERATE").is_some() {
        fs::write(&kept, &fresh).unwrap();
    }
    let kept = fs::read_to_string(&kept).unwrap_or_default();
    assert!(fresh == kept, "src/generated is stale: run `REGENERATE=1 cargo test -p hashvfl-proto`");
}
