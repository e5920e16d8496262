"""Which module goes where, crate by crate, and the first line of each new folder."""

from rustpaths import Crate


# Modules that may not be there yet.
OPTIONAL = set()


def pairs(text):
    found = {}
    for line in text.strip().splitlines():
        if line.strip() and not line.strip().startswith("#"):
            old, new = line.split()[:2]
            if line.split()[2:] == ["?"]:
                OPTIONAL.add(old)
            if old in found:
                raise SystemExit(f"{old} moves twice")
            found[old] = new
    return found


CORE = Crate("core", "crates/core", pairs("""
    coordinator protocol::coordinator
    party protocol::party
    message protocol::message
    inference protocol::serving_party
    link protocol::serving_coordinator
    hijack gradient_monitor
    code codes::packed
    table codes::stored
    target codes::target
    response codes::randomised_response
    key records::composite_id
    left_out records::excluded
    plan records::plan
    canonical records::canonical ?
    record_keys records::record_keys ?
    run_records records::run_records ?
    rows records::rows ?
    order records::order ?
"""), {
    "protocol": "The protocol: its messages, and each side of it as a pure state machine.",
    "codes": "Hash codes: packed, kept, flipped, and those that stand for classes.",
})

LEARNING = Crate("learning", "crates/learning", pairs("""
    course training
    cut training::backend
    local training::in_process
    schedule training::schedule
    classifier top::classifier
    predictor top::predictor
    loss top::loss
    recall top::self_distillation
    front bottom::front
"""), {
    "top": "The top model: training it, predicting with it, its losses.",
})

DETECTORS = Crate("detectors", "crates/detectors", pairs("""
    batch codes::batch
    centres codes::centres
    dependence codes::dependence
    disagreement codes::disagreement
    distance codes::hamming_distance
    mutual codes::mutual
    neighbours codes::knn
    rarity codes::chow_liu
    components features::pca
    gaussians features::mahalanobis
    linear features::linear
    networks::mismatch networks::density_ratio
    networks::doubt networks::label_noise
    combine calibration::combine
    conformal calibration::conformal
    panel calibration::panel
    tail calibration::tail
"""), {
    "features": "Detectors on the top model's features.",
    "calibration": "From scores of detectors to p-values: a common scale, their combination, its calibration.",
})

DATA = Crate("data", "crates/data", pairs("""
    csv_file source::csv::file
    csv_table source::csv
    header source::csv::header
    idx source::idx::format
    idx_table source::idx
    npy source::npy::format
    npy_table source::npy
    png_folder source::png::folder
    png_table source::png
    images source::images
    input source::input
    number source::number
    sql source::sql
    cache store::cache
    records store
    matrix store::matrix
    sink store::sink
    id_list ids::list
    record_ids ids::source
    key_columns ids::key_columns
    order ids::order
    row_encoder encoding::row_encoder
    preprocess encoding::preprocess
    scale encoding::scale
    quantile encoding::quantile
    treatment encoding::treatment
    content encoding::content
    ranges encoding::ranges
    survey inspection::survey
    classes labels::classes
    target labels::target
"""), {
})

PARTY = Crate("party", "party", pairs("""
    client training
    worker training::worker
    backlog training::backlog
    recorder training::recorder
    watch training::gradient_monitor
    serve serving
    revision serving::revision
    align commands::align
    encode commands::encode
    erase commands::erase
    init commands::init
    inspect commands::inspect
    ledger commands::ledger
    detect detectors
    secret response_key
"""), {
    "commands": "What a party's binary does besides training and serving, a file for each subcommand.",
})

COORDINATOR = Crate("coordinator", "coordinator", pairs("""
    run training
    lobby training::admission
    network training::network
    screen training::screening
    service training::service
    traffic training::traffic
    serve serving
    serve::link serving::party_connection
    serve::known serving::known_codes
    align commands::align
    erase commands::erase
    evaluate commands::evaluate
    init commands::init
    predict commands::predict
    detect detectors
    detect::judge detectors::anomaly_scorer
    top top_file
"""), {
    "commands": "What the coordinator's binary does besides training and serving, a file for each subcommand.",
})

ATTACK = Crate("attack", "attack", pairs("""
    regress reconstruction::regression
    inversion reconstruction::inversion
    substitute reconstruction::substitute
    unsplit reconstruction::unsplit
    predictions reconstruction::predictions
    attributes inference::attributes
    labels inference::labels
    label_defences inference::label_defences
    membership inference::membership
    fsha active::fsha
    critic active::critic
    steer active::steering_server
    steering active::steering
    manifest evidence::manifest
    observed evidence::observed
    record evidence::recorder
    knowledge evidence::knowledge
    split evidence::split
    shifted evidence::shifted
    simulate evidence::simulation
    evaluate evaluation
    bench evaluation::victim
    scene evaluation::context
    further evaluation::registry
    checks evaluation::checks
    score evaluation::score
    sweeps evaluation::sweeps
    repeats evaluation::replicates
    telling evaluation::report_text
    open_door evaluation::positive_control
    report::axis report::pictures::axis
    report::chart report::pictures::chart
    report::grid report::pictures::grid
    report::label report::pictures::label
    report::png report::pictures::png
    report::scatter report::pictures::scatter
"""), {
    "reconstruction": "Attacks that get columns back.",
    "inference": "Attacks that infer one fact: a column's value, a label, a record's part in training.",
    "active": "Attacks by a coordinator that does not follow the protocol.",
    "report::pictures": "Charts and pictures of the report.",
})

ALIGNMENT = Crate("alignment", "crates/alignment", pairs("""
    compare protocol::compare
    holder protocol::holder
    message protocol::message
    peer protocol::peer
    route protocol::route
    transfer protocol::transfer
    files storage::files
    folder storage::folder
    sort storage::sort
    spool storage::spool
    bar progress_bar
"""), {
    "protocol": "What holders send each other, and what each does with it.",
    "storage": "What an alignment keeps on disk.",
})

OTHERS = [
    Crate("proto", "proto", {}, {}),
    Crate("ledger", "crates/ledger", {}, {}),
    Crate("transcript", "crates/transcript", {}, {}),
    Crate("files", "crates/files", {}, {}),
    Crate("testbed", "crates/testbed", {}, {}),
]

for crate in (CORE,):
    crate.optional = {tuple(name.split("::")) for name in OPTIONAL}

CRATES = [CORE, LEARNING, DETECTORS, DATA, PARTY, COORDINATOR, ATTACK, ALIGNMENT, *OTHERS]
