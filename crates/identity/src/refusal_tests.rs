use super::*;

/// One of each kind.
fn all() -> Vec<PeerRefusal> {
    let who: Identity = "party/bank".parse().unwrap();
    let (expected, list) = ("party/post or any client".to_string(), "shop/revoked.pem".to_string());
    let found = Fingerprint::of_public_key(b"a key");
    vec![
        PeerRefusal::NoCertificate { expected: expected.clone() },
        PeerRefusal::Unusable("it is damaged".to_string()),
        PeerRefusal::Stranger { authority: "shop/authority.pem".to_string() },
        PeerRefusal::Expired { who: who.clone(), not_after_s: 1 },
        PeerRefusal::NotYetValid { who: who.clone(), not_before_s: 1 },
        PeerRefusal::Revoked { who: who.clone(), serial: "41".to_string(), list: list.clone() },
        PeerRefusal::ListExpired { list: list.clone(), until_s: 1 },
        PeerRefusal::ListOfOther { list, who: who.clone() },
        PeerRefusal::Nameless(Nameless::NoUri),
        PeerRefusal::NotExpected { who: who.clone(), expected },
        PeerRefusal::OtherKey { who, found, pinned: found.to_string().into(), file: "shop/pins.toml".into() },
    ]
}

/// How many kinds there are: a new one does not compile here until it is among [`all`].
fn kinds(refusal: &PeerRefusal) -> usize {
    match refusal {
        PeerRefusal::NoCertificate { .. }
        | PeerRefusal::Unusable(_)
        | PeerRefusal::Stranger { .. }
        | PeerRefusal::Expired { .. }
        | PeerRefusal::NotYetValid { .. }
        | PeerRefusal::Revoked { .. }
        | PeerRefusal::ListExpired { .. }
        | PeerRefusal::ListOfOther { .. }
        | PeerRefusal::Nameless(_)
        | PeerRefusal::NotExpected { .. }
        | PeerRefusal::OtherKey { .. } => 11,
    }
}

#[test]
fn each_refusal_says_what_mends_it_and_in_which_file() {
    let all = all();
    assert_eq!(all.len(), kinds(&all[0]));
    let mut words = Vec::new();
    for refusal in &all {
        let line = refusal.to_string();
        let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        assert!(quoted.iter().any(|command| command.contains("identity ")), "no command: {line}");
        for command in quoted {
            // One shows a file that it names; all others look in the folder that a config names.
            let is_whole = command.contains(" --config FILE") || command == "identity show CERTIFICATE";
            assert!(is_whole, "`{command}` looks in another folder: {line}");
        }
        assert!(!line.contains('\n'), "{line}");
        let file = match refusal {
            PeerRefusal::Stranger { .. } => "shop/authority.pem",
            PeerRefusal::Revoked { .. }
            | PeerRefusal::ListExpired { .. }
            | PeerRefusal::ListOfOther { .. } => "shop/revoked.pem",
            PeerRefusal::OtherKey { .. } => "shop/pins.toml",
            // What is wrong with the others stands in the peer's certificate, or in this side's config.
            _ => "",
        };
        assert!(line.contains(file), "{file}: {line}");
        assert_eq!(refusal.who().is_some(), line.contains("party/bank"), "{line}");
        // Others hear of no file, and of no command.
        let told = refusal.for_others();
        assert!(!told.contains("shop/") && !told.contains('`') && !told.contains("party/post"), "{told}");
        words.push(refusal.kind());
    }
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len(), "each has a word of its own: {words:?}");
    assert!(words.iter().all(|word| !word.contains(['_', ' '])), "{words:?}");
}
