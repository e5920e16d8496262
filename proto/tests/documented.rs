//! `docs/reference/wire.md` lists every message, field and enum value of the .proto file, with its type, and nothing else;
//! and nothing that a party can say holds a float.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hashvfl_core::limits;
use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

#[test]
fn the_wire_reference_is_complete_and_true() {
    let text = reference();
    let rows = table_rows(&text);
    let (sections, members) = described(&pool());

    let headings: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_string)
        .collect();
    let missing: Vec<_> = sections.difference(&headings).collect();
    assert!(missing.is_empty(), "docs/reference/wire.md has no section \"### `NAME`\" for {missing:?}");
    let gone: Vec<_> = headings.difference(&sections).collect();
    assert!(
        gone.is_empty(),
        "docs/reference/wire.md has sections for {gone:?}, which the .proto file does not define"
    );

    let missing: Vec<_> = members.keys().filter(|name| !rows.contains_key(*name)).collect();
    assert!(missing.is_empty(), "docs/reference/wire.md has no table row for {missing:?}");
    let gone: Vec<_> =
        text.split('`').filter(|word| is_member(word) && !members.contains_key(*word)).collect();
    assert!(gone.is_empty(), "docs/reference/wire.md names {gone:?}, which the .proto file does not define");
    for (name, expected) in &members {
        let found = &rows[name];
        assert!(
            found == expected,
            "docs/reference/wire.md says that {name} is {found:?}, the .proto file {expected:?}"
        );
    }
}

#[test]
fn floats_have_no_wire_type_from_a_party() {
    let pool = pool();
    let said = reachable(&pool, "PartyMessage");
    assert!(said.contains_key("hashvfl.v1.Codes") && said.contains_key("hashvfl.v1.Setting"), "{said:?}");
    let served = reachable(&pool, "ServingPartyMessage");
    assert!(served.contains_key("hashvfl.v1.PValues"), "{served:?}");
    for said in [said, served] {
        let floats = float_fields(&said);
        assert!(floats.is_empty(), "floats must have no wire type from a party, but {floats:?} hold some");
    }
    let sealed = reachable(&pool, "HolderMessage");
    assert!(float_fields(&sealed).is_empty() && sealed.contains_key("hashvfl.v1.Envelope"), "{sealed:?}");
    // Gradients, and proof that floats are found where there are some.
    let down = float_fields(&reachable(&pool, "CoordinatorMessage"));
    assert_eq!(down, ["F32Gradient.values", "Int8Gradient.scales"], "floats to a party");
}

#[test]
fn the_limits_are_those_of_core() {
    let text = reference();
    let limits = [
        ("MAX_BITS", limits::MAX_BITS as u64),
        ("MAX_BATCH_ROWS", limits::MAX_BATCH_ROWS as u64),
        ("MAX_PARTIES", limits::MAX_PARTIES as u64),
        ("MAX_SETTINGS", limits::MAX_SETTINGS as u64),
        ("MAX_KEY_BYTES", limits::MAX_KEY_BYTES as u64),
        ("MAX_VALUE_BYTES", limits::MAX_VALUE_BYTES as u64),
        ("MAX_NAME_BYTES", limits::MAX_NAME_BYTES as u64),
        ("MAX_TEXT_BYTES", limits::MAX_TEXT_BYTES as u64),
        ("MAX_SEALED_BYTES", limits::MAX_SEALED_BYTES as u64),
        ("MAX_MESSAGE_BYTES", limits::MAX_MESSAGE_BYTES as u64),
        ("MAX_REQUEST_ROWS", limits::MAX_REQUEST_ROWS as u64),
        ("CODES_ROWS", limits::CODES_ROWS as u64),
        ("MAX_PREDICT_IDS", limits::MAX_PREDICT_IDS as u64),
        ("MAX_SIGNATURE_BYTES", limits::MAX_SIGNATURE_BYTES as u64),
        ("MAX_P_VALUE_BITS", u64::from(limits::MAX_P_VALUE_BITS)),
        ("MAX_P_VALUE_STEP", u64::from(limits::MAX_P_VALUE_STEP)),
    ];
    for (name, limit) in limits {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/reference/wire.md has no table row for {name}"));
        let found = row.split('|').nth(2).unwrap_or_default().trim().replace(',', "");
        assert_eq!(found, limit.to_string(), "docs/reference/wire.md on {name}");
    }
}

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/wire.md");
    fs::read_to_string(path).expect("docs/reference/wire.md")
}

fn pool() -> DescriptorPool {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = protox::compile(
        ["hashvfl/v1/federation.proto", "hashvfl/v1/inference.proto", "hashvfl/v1/alignment.proto"],
        [include],
    )
    .unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

/// The second cell of every table row whose first cell is a member's name in backticks.
fn table_rows(text: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (second, _) = rest.split_once(" |")?;
        is_member(name).then(|| (name.to_string(), second.to_string()))
    };
    text.lines().filter_map(row).collect()
}

/// Whether `word` has the form of a field or an enum value: `Hello.run_id`, `Part.PART_TRAIN`.
fn is_member(word: &str) -> bool {
    let Some((owner, member)) = word.split_once('.') else { return false };
    let named = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    owner.starts_with(|c: char| c.is_ascii_uppercase()) && named(owner) && !member.is_empty() && named(member)
}

/// Names of all messages and enums, and of all their fields and values with the type or number of each.
fn described(pool: &DescriptorPool) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let mut sections = BTreeSet::new();
    let mut members = BTreeMap::new();
    for message in pool.all_messages() {
        sections.insert(message.name().to_string());
        members.extend(message.fields().map(|field| (member(&field), type_of(&field))));
    }
    for kind in pool.all_enums() {
        sections.insert(kind.name().to_string());
        let value = |name: &str, number: i32| (format!("{}.{name}", kind.name()), number.to_string());
        members.extend(kind.values().map(|v| value(v.name(), v.number())));
    }
    (sections, members)
}

fn member(field: &FieldDescriptor) -> String {
    format!("{}.{}", field.parent_message().name(), field.name())
}

/// A field's type as the .proto file writes it.
fn type_of(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.name().to_string(),
        Kind::Enum(kind) => kind.name().to_string(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    if field.is_list() { format!("repeated {kind}") } else { kind }
}

/// All messages that a message of that name can hold, itself among them, by full name.
fn reachable(pool: &DescriptorPool, name: &str) -> BTreeMap<String, MessageDescriptor> {
    let mut open = vec![pool.get_message_by_name(&format!("hashvfl.v1.{name}")).expect(name)];
    let mut found = BTreeMap::new();
    while let Some(message) = open.pop() {
        if found.insert(message.full_name().to_string(), message.clone()).is_none() {
            open.extend(message.fields().filter_map(|field| field.kind().as_message().cloned()));
        }
    }
    found
}

fn float_fields(messages: &BTreeMap<String, MessageDescriptor>) -> Vec<String> {
    let fields = messages.values().flat_map(MessageDescriptor::fields);
    let floats = fields.filter(|field| matches!(field.kind(), Kind::Float | Kind::Double));
    floats.map(|field| member(&field)).collect()
}
