use proptest::prelude::*;

use super::*;

/// The records of a file of this text, the first among them, or what is wrong with it.
fn read(text: &[u8]) -> Result<Vec<Vec<String>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let mut reader = open_csv(&path).map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(&path, error).to_string())?;
        records.push(record.iter().map(|cell| cell.trim_end_matches('\r').to_owned()).collect());
    }
    records.retain(|record: &Vec<String>| record.len() > 1 || !record[0].trim().is_empty());
    Ok(records)
}

fn fault(text: &str) -> String {
    read(text.as_bytes()).unwrap_err()
}

#[test]
fn quoted_cells_hold_delimiters_quotes_and_line_breaks() {
    for (text, cells) in [
        ("id,a,b\nk,\"x, y\",2\n", ["k", "x, y", "2"]),
        ("id,a,b\nk,\"say \"\"x\"\"\",2", ["k", "say \"x\"", "2"]),
        ("id,a,b\r\nk,\"\",2\r\n", ["k", "", "2"]),
        ("\u{feff}\"id\",a,b\nk,\"one\ntwo, three\",2\n", ["k", "one\ntwo, three", "2"]),
        ("id,a,b\n\"k\" ,\"x\"\t,2\n", ["k ", "x\t", "2"]),
        ("id,a,b\nk,2,\"dear, all\none, two, three\nbye\"\n", ["k", "2", "dear, all\none, two, three\nbye"]),
    ] {
        assert_eq!(read(text.as_bytes()).unwrap()[1], cells, "{text}");
    }
}

#[test]
fn what_rfc_4180_does_not_know_is_placed_and_not_shown() {
    for (text, expected) in [
        (
            "id,a\nk1,2\nk2,\"secret\nk3,4\n",
            "line 3: a quoted cell begins here and spans lines that look like",
        ),
        ("id,a\nk1,\"secret", "line 2: a quoted cell begins here and never ends"),
        ("id,a\nk1,5\" secret\n", "line 2: a quote in a cell"),
        ("id,a\nk1, \"secret\"\n", "line 2: a quote in a cell"),
        ("id,a\nk1,\"sec\"ret\"\n", "line 2: text after the closing quote"),
        ("id,a\nk1,\"sec\" \"ret\"\n", "line 2: text after the closing quote"),
        ("id,\"a\nk1,2\n", "line 1: a column's name spans"),
        ("id,a\rk1,2\r", "line 1: a carriage return"),
        ("i\0d\0\n\0", "line 1: a zero byte"),
        ("id,a\nk1,\"secret\nk2,3\"\n", "line 2: a quoted cell begins here and spans lines that look like"),
        ("id,a,b\nk1,\"secret,3\nk2,3\",4\n", "line 2: a quoted cell begins here and spans"),
        ("id\n\"secret\nk2\"\n", "line 2: a quoted cell begins here and spans"),
        (
            "id,a,name\nk1,3,\"secret, John\nk2,4,Ann\nk3,5,Bob\nk4,6,x\"\n",
            "line 2: a quoted cell begins here and spans lines that look like",
        ),
        (
            "id,a,name\nk1,3,\"secret, John\nk2,4,Ann\nk4,6,x\"\n",
            "line 2: a quoted cell begins here and spans",
        ),
        (
            "  \nid,a\nk1,\"secret\nk2,3\"\n",
            "line 3: a quoted cell begins here and spans lines that look like",
        ),
    ] {
        let message = fault(text);
        assert!(message.contains(&format!("a.csv, {expected}")), "{text:?}: {message}");
        assert!(message.contains("a.csv") && !message.contains("secret"), "{message}");
    }
    let long = format!("id,a,b\nk1,\"{}\",2\n", "x\n".repeat(1001));
    assert!(fault(&long).contains("line 2: a quoted cell begins here and has more than 1000 lines"));
    assert!(read(long.replace(&"x\n".repeat(1001), &"x\n".repeat(900)).as_bytes()).is_ok());
}

#[test]
fn utf_16_is_named() {
    let text: Vec<u8> = "\u{feff}id,a\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(read(&text).unwrap_err().contains("UTF-16"));
    assert!(read(&text[2..]).unwrap_err().contains("zero byte"));
}

proptest! {
    /// What a writer of RFC 4180 wrote is read back, or refused; never with fewer records.
    #[test]
    fn what_was_written_is_read_or_refused(
        records in prop::collection::vec(prop::collection::vec("[a-c,\"\n ]{0,4}", 3), 1..12),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["id", "a", "b"]).unwrap();
        records.iter().for_each(|record| writer.write_record(record).unwrap());
        if let Ok(found) = read(&writer.into_inner().unwrap()) {
            prop_assert_eq!(&found[1..], &records[..]);
        }
    }

    /// Quotes where they do not belong take no record away without a word.
    #[test]
    fn stray_quotes_swallow_nothing(
        cells in prop::collection::vec(("[a-c]{1,3}", "[a-c]{1,3}", "[a-c]{0,3}"), 1..30),
        quotes in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let lines: String = cells.iter().map(|(id, a, b)| format!("{id},{a},{b}\n")).collect();
        let mut text = format!("id,a,b\n{lines}");
        for quote in quotes {
            text.insert(quote.index(text.len()), '"');
        }
        if let Ok(found) = read(text.as_bytes()) {
            prop_assert_eq!(found.len(), cells.len() + 1);
        }
    }
}
