//! What tables tell of their columns.

use super::*;
use crate::{ColumnsSource, load_as, load_numbered};

fn survey_text(text: &str) -> Result<Survey, TableError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let survey = survey(&path, &Hints::default())?;
    // What was found must be what loads.
    let config = format!("format = \"csv\"\npaths = [{path:?}]\nid = {:?}", survey.id);
    let columns: Vec<String> = survey.columns.iter().map(|column| column.name.clone()).collect();
    let table = match survey.id.is_empty() {
        true => load_numbered(&path, &columns, &survey.treatment())?,
        false => load_as(&toml::from_str::<ColumnsSource>(&config).unwrap(), &survey.treatment())?,
    };
    assert_eq!(table.ids.len() as u64, survey.records);
    for (column, found) in survey.columns.iter().zip(&table.contents) {
        assert_eq!(found.kind(), column.kind, "{}", column.name);
    }
    Ok(survey)
}

#[test]
fn all_records_decide_and_not_the_first() {
    let survey = survey_text(
        "id,age,job,code,rate,pay,none\n\
         k1,30,,1,0.5,NA,\n\
         k2,,7,2,1,3,\n\
         k3,41,clerk,1,2,-,\n",
    )
    .unwrap();
    let found: Vec<_> = survey
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.kind, column.missing, column.distinct, column.whole))
        .collect();
    let (number, category) = (ColumnType::Number, ColumnType::Category);
    assert_eq!(
        found,
        [
            ("age", number, 1, Some(2), true),
            ("job", category, 1, Some(2), false),
            ("code", number, 0, Some(2), true),
            ("rate", number, 0, Some(3), false),
            ("pay", number, 2, Some(1), true),
            ("none", number, 3, Some(0), true),
        ]
    );
    assert_eq!((survey.records, survey.null_values), (3, vec!["NA".to_owned(), "-".to_owned()]));
}

#[test]
fn a_marker_among_texts_is_a_category_unless_numbers_lack_it() {
    let alone = survey_text("id,job\n1,?\n2,clerk\n3,?\n").unwrap();
    assert_eq!(
        (alone.columns[0].missing, alone.columns[0].distinct, alone.null_values.len()),
        (0, Some(2), 0)
    );
    let beside = survey_text("id,job,pay\n1,?,?\n2,clerk,7\n3,?,8\n").unwrap();
    assert_eq!((beside.columns[0].missing, beside.columns[0].distinct), (2, Some(1)));
    assert_eq!(beside.null_values, ["?"]);
}

#[test]
fn what_is_no_use_to_a_model_is_told() {
    let rows: String = (0..400).map(|row| format!("{row},name {row},x,,{},{row}.5\n", row % 3)).collect();
    let survey = survey_text(&format!("id,name,same,none,code,value\n{rows}")).unwrap();
    let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
    let expected = [
        ColumnVerdict::Excluded("an id or free text"),
        ColumnVerdict::Excluded("the same in every record"),
        ColumnVerdict::Excluded("no value"),
        ColumnVerdict::Taken,
        ColumnVerdict::Taken,
    ];
    assert_eq!(verdicts, expected);
    let rows: String = (0..=MOST_DISTINCT).map(|row| format!("{row},n{row}\n")).collect();
    let many = survey_text(&format!("id,name\n{rows}")).unwrap();
    assert_eq!(
        (many.columns[0].distinct, many.columns[0].verdict(many.records)),
        (None, ColumnVerdict::Excluded("an id or free text"))
    );
}

#[test]
fn numbers_that_people_write_otherwise_are_not_decided_in_silence() {
    let rows: String = (0..250)
        .map(|row| {
            let error = if row == 7 { "#DIV/0!".to_owned() } else { format!("{}.5", row / 7) };
            let word = if row == 200 { "see file".to_owned() } else { format!("{row}") };
            let (day, sum) = (1 + row % 28, 1000 + row);
            format!(
                "k{row},{error},{word},\"1,{row:03}\",\"{row},{}\",{}%,2024-01-{day:02},${sum},{}\n",
                row % 7,
                row % 30,
                ["1", "2", "3+"][row % 3],
            )
        })
        .collect();
    let survey =
        survey_text(&format!("id,error,word,thousands,comma,percent,day,sum,rooms\n{rows}")).unwrap();
    let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
    let expected = [
        ColumnVerdict::Taken,
        ColumnVerdict::Undecided(NumberLikeText::Mixed { texts: 1, first_line: 202 }),
        ColumnVerdict::Undecided(NumberLikeText::Commas),
        ColumnVerdict::Undecided(NumberLikeText::Commas),
        ColumnVerdict::Undecided(NumberLikeText::Percents),
        ColumnVerdict::Excluded("dates or times; written as numbers they can be used"),
        ColumnVerdict::Undecided(NumberLikeText::Money),
        ColumnVerdict::Taken,
    ];
    assert_eq!(verdicts, expected);
    assert_eq!((survey.columns[0].missing, survey.null_values), (1, vec!["#DIV/0!".to_owned()]));
}

#[test]
fn many_numbers_beside_few_texts_and_numbers_with_a_unit_are_not_decided() {
    let rows: String = (0..500)
        .map(|row| {
            let income =
                if row % 5 < 2 { (100 + row * 7 % 400).to_string() } else { "not stated".to_owned() };
            let house = format!("{}{}", row % 90, ["a", "b", "c", "d", "e"][row % 5]);
            format!(
                "k{row},{income},{} kg,EUR {},{} months,{house},{}/{},{}:{},\u{a0}{},{row}.5\n",
                40 + row % 60,
                row % 80,
                36 + 24 * (row % 2),
                100 + row % 60,
                60 + row % 40,
                row % 5,
                1 + row % 3,
                row % 90,
            )
        })
        .collect();
    let survey =
        survey_text(&format!("id,income,weight,fee,term,house,pressure,ratio,spend,a\n{rows}")).unwrap();
    let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
    let expected = [
        ColumnVerdict::Undecided(NumberLikeText::Mixed { texts: 300, first_line: 4 }),
        ColumnVerdict::Undecided(NumberLikeText::Measures),
        ColumnVerdict::Undecided(NumberLikeText::Measures),
        ColumnVerdict::Taken,
        ColumnVerdict::Taken,
        ColumnVerdict::Taken,
        ColumnVerdict::Taken,
        ColumnVerdict::Taken,
        ColumnVerdict::Taken,
    ];
    assert_eq!(verdicts, expected);
    let ranges: Vec<u64> = survey.columns.iter().map(|column| column.ranges).collect();
    assert_eq!(ranges, [0, 0, 0, 0, 0, 500, 500, 0, 0], "pressure and ratio are pairs");
    assert_eq!(
        survey.columns[5].remarks(),
        ["500 values with ranges or pairs of numbers, whose order is lost"]
    );
    let kinds: Vec<_> = survey.columns[3..].iter().map(|column| column.kind).collect();
    let (number, category) = (ColumnType::Number, ColumnType::Category);
    assert_eq!(kinds, [category, category, category, category, number, number]);
}

#[test]
fn codes_that_begin_with_0_and_texts_in_several_spellings_are_told() {
    let rows: String = (0..60)
        .map(|row| format!("k{row},{:03},{},{row}.5\n", row * 7, ["M", "m", "F", "f"][row % 4]))
        .collect();
    let survey = survey_text(&format!("id,zip,sex,a\n{rows}")).unwrap();
    let remarks: Vec<_> = survey.columns.iter().map(Surveyed::remarks).collect();
    assert_eq!(remarks[0], ["15 of them with a leading 0: use \"category\" if they are codes"]);
    assert_eq!(remarks[1], ["2 of them differ from another only in spelling, such as case and spaces"]);
    assert!(remarks[2].is_empty(), "{remarks:?}");
}

#[test]
fn points_between_thousands_and_digits_of_other_scripts_are_told() {
    let digit = |row: usize| char::from_digit(row as u32, 10).unwrap();
    let arabic = |row: usize| char::from_u32(0x660 + row as u32).unwrap();
    let rows: String = (0..50)
        .map(|row| {
            let grouped = if row % 5 == 0 { "999".to_owned() } else { format!("{}.{:03}", 1 + row, row * 7) };
            let decimal = if row % 5 == 0 { "0.5".to_owned() } else { format!("{}.{:03}", 1 + row, row * 7) };
            let ratio = format!("0.{:03}", 100 + row);
            let script = format!("{}{}", arabic(1 + row / 10), arabic(row % 10));
            format!("k{row},{grouped},{decimal},{ratio},{}.{:03},{script}\n", digit(1 + row % 9), row)
        })
        .collect();
    let survey = survey_text(&format!("id,grouped,decimal,ratio,precise,script\n{rows}")).unwrap();
    let thousands: Vec<u64> = survey.columns.iter().map(|column| column.thousands).collect();
    assert_eq!(thousands, [40, 0, 0, 0, 0]);
    assert!(survey.columns[0].remarks()[0].contains("40 of them have a fraction of three digits"));
    assert_eq!(
        survey.columns[4].verdict(survey.records),
        ColumnVerdict::Undecided(NumberLikeText::OtherDigits)
    );
}

#[test]
fn what_its_owner_calls_missing_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let rows: String =
        (0..40).map(|row| format!("k{row},{}\n", if row == 3 { "see file" } else { "7" })).collect();
    std::fs::write(&path, format!("id,a\n{rows}")).unwrap();
    let found =
        survey(&path, &Hints { null_values: vec!["see file".to_owned()], ..Hints::default() }).unwrap();
    assert_eq!((found.columns[0].kind, found.columns[0].missing), (ColumnType::Number, 1));
    assert_eq!(found.null_values, ["see file"]);
    let hints = Hints { null_values: vec!["7".to_owned()], ..Hints::default() };
    std::fs::write(&path, "id,a\nk1,7\nk2,7.0\nk3,8\nk4,9\n").unwrap();
    let found = survey(&path, &hints).unwrap();
    assert_eq!((found.columns[0].kind, found.columns[0].missing), (ColumnType::Number, 2), "numbers, too");
}

#[test]
fn any_spelling_of_a_missing_number_is_listed_as_it_is_written() {
    let cells = ["NAN", "7", "-nan", "1.#QNAN", "\u{a0}", "8.5", "\u{2014}", "NAN", "#N/A N/A", "9"];
    let rows: String = (0..).zip(cells).map(|(row, cell)| format!("k{row},{cell}\n")).collect();
    let survey = survey_text(&format!("id,a\n{rows}")).unwrap();
    assert_eq!((survey.columns[0].kind, survey.columns[0].missing), (ColumnType::Number, 7));
    assert_eq!(survey.null_values, ["NAN", "-nan", "1.#QNAN", "\u{2014}", "#N/A N/A"]);
}

#[test]
fn a_table_whose_id_nothing_tells_has_none() {
    let measured = survey_text("price,area,rooms\n100.5,40,3\n107.5,41,4\n114.5,42,3\n").unwrap();
    assert_eq!((measured.id.len(), measured.columns.len(), measured.ids), (0, 3, None));
    let message = measured.check_id(Path::new("a.csv")).unwrap_err().to_string();
    assert!(
        message.contains("no column of a.csv has the name of an id") && message.contains("--id"),
        "{message}"
    );
    let named = survey_text("age,customerId,income\n20,c1,3.5\n20,c2,4.5\n").unwrap();
    assert_eq!((named.id.as_slice(), named.ids), (&["customerId".to_owned()][..], Some(2)));
    assert!(named.check_id(Path::new("a.csv")).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "y,customer\nno,c1\nyes,c2\n").unwrap();
    let hints = Hints { not_id: vec!["y".to_owned()], ..Hints::default() };
    assert_eq!(survey(&path, &hints).unwrap().id, ["customer"]);
}

#[test]
fn numbers_are_told_apart_by_their_value() {
    let survey = survey_text("id,a\n1,1\n2,1.0\n3,+1\n4,2\n").unwrap();
    assert_eq!(survey.columns[0].distinct, Some(2));
}

#[test]
fn ids_and_time_stamps_are_no_numbers_of_32_bits() {
    let rows: String = (0..200)
        .map(|row| format!("k{row},{},90071992547409{row:03},{row}\n", 1_700_000_000 + row))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, format!("id,since,account,a\n{rows}")).unwrap();
    let survey = survey(&path, &Hints::default()).unwrap();
    let verdicts: Vec<_> = survey.columns.iter().map(|column| column.verdict(survey.records)).collect();
    let reason = "numbers that become equal in 32 bits, as ids and time stamps do";
    assert_eq!(
        verdicts,
        [ColumnVerdict::Excluded(reason), ColumnVerdict::Excluded(reason), ColumnVerdict::Taken]
    );
}

#[test]
fn a_first_line_that_may_be_a_record_is_refused() {
    let check = |text: &str| survey_text(text)?.check_first_line(Path::new("a.csv"));
    for text in [
        "C000,Ann Smith,Leeds\nC001,Bob Jones,York\n",
        "Ann,NA\nBob,7\n",
        "133,x0:0.45\n134,x0:0.10\n",
        "2019,Ann\n2020,Bob\n",
    ] {
        let message = check(text).unwrap_err().to_string();
        assert!(message.contains("first line"), "{message}");
        assert!(!message.contains("Ann") && !message.contains("x0"), "{message}");
    }
    for text in ["name,age\nAnn,7\n", "customer_id,town\nC1,Leeds\nC2,York\n"] {
        assert!(check(text).is_ok(), "{text}");
    }
}

#[test]
fn faults_show_no_cell() {
    for text in ["39,clerk,77516\n", "id,a,a\n1,77516,3\n", "id,a\n1\n", "id,a\n"] {
        let message = survey_text(text).unwrap_err().to_string();
        assert!(!message.contains("77516"), "{message}");
    }
}

#[test]
fn numbers_of_nines_that_may_stand_for_a_missing_value_are_told() {
    let age = |row: i32| if row % 9 == 0 { -999 } else { 20 + row % 40 };
    let rows: String = (0..50).map(|row| format!("k{row},{},{row}\n", age(row))).collect();
    let survey = survey_text(&format!("id,age,pay\n{rows}")).unwrap();
    let remarks = survey.columns[0].remarks().join("; ");
    assert!(remarks.starts_with("6 of them consist of nines"), "{remarks}");
    assert!(survey.columns[1].remarks().is_empty());
}
