//! Who may connect.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use hashvfl_core::PartyName;

use crate::role::{Identity, Role};

/// The roles and names that one side lets in. Whoever is not named is refused in the handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permitted(BTreeMap<Role, Names>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Any,
    These(BTreeSet<PartyName>),
}

impl Permitted {
    /// Nobody yet.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Everybody whose certificate has this role.
    #[must_use]
    pub fn and_every(mut self, role: Role) -> Self {
        self.0.insert(role, Names::Any);
        self
    }

    /// These names in this role.
    #[must_use]
    pub fn and_named(mut self, role: Role, names: impl IntoIterator<Item = PartyName>) -> Self {
        self.0.insert(role, Names::These(names.into_iter().collect()));
        self
    }

    /// Whether an identity is among them.
    pub fn lets_in(&self, identity: &Identity) -> bool {
        match self.0.get(&identity.role) {
            None => false,
            Some(Names::Any) => true,
            Some(Names::These(names)) => names.contains(&identity.name),
        }
    }
}

impl fmt::Display for Permitted {
    /// Such as `party/bank, party/shop or any client`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::new();
        for (role, names) in &self.0 {
            match names {
                Names::Any => texts.push(format!("any {role}")),
                Names::These(names) => texts.extend(names.iter().map(|name| format!("{role}/{name}"))),
            }
        }
        match texts.split_last() {
            None => f.write_str("nobody"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} or {last}", others.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_named_is_not_let_in() {
        let names = ["bank", "shop"].map(|name| PartyName::new(name).unwrap());
        let permitted = Permitted::nobody().and_named(Role::Party, names).and_every(Role::Client);
        assert_eq!(permitted.to_string(), "party/bank, party/shop or any client");
        assert_eq!(Permitted::nobody().to_string(), "nobody");
        for (text, expected) in
            [("party/bank", true), ("party/other", false), ("client/app", true), ("coordinator/bank", false)]
        {
            assert_eq!(permitted.lets_in(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
