//! The subcommand `identity` of both programs.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hashvfl_core::PartyName;
use hashvfl_core::text::counted;
use hashvfl_files::{say, write_whole};

use crate::authority::{Authority, SigningOptions};
use crate::certificate::Facts;
use crate::dates::{date, now_s};
use crate::error::CommandError;
use crate::fingerprint::Fingerprint;
use crate::folder::FolderArgs;
use crate::holder::{self, Accepted, IdentityPaths};
use crate::issue::{accept_here, issue};
use crate::pem::{self, AUTHORITY, CERTIFICATE};
use crate::pins::{Pin, Pins};
use crate::provision::{ProvisionedSide, provision};
use crate::role::{Identity, IdentityError, Role};

/// What every side does with its own identity.
#[derive(Debug, Subcommand)]
pub enum HolderCommand {
    /// Make a key, which never leaves this folder, and a request for a certificate to send to the coordinator.
    Request {
        /// The name to be known by: for a party, its name in run.parties. Without it, the name in --config.
        #[arg(long, value_name = "NAME")]
        name: Option<PartyName>,
        /// The role: party, coordinator or client (a program that asks for predictions).
        #[arg(long, value_name = "ROLE", value_parser = role)]
        role: Option<Role>,
        /// Make a new key, which replaces the current one when its certificate is accepted.
        #[arg(long)]
        new_key: bool,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Check the certificate that the coordinator sent back (key, authority, name, dates), and install it.
    Accept {
        /// The file that the coordinator has sent back.
        #[arg(value_name = "CERTIFICATE")]
        answer: PathBuf,
        /// The fingerprint of the authority's key, as the coordinator read it out. Needed for the first certificate.
        #[arg(long, value_name = "FINGERPRINT")]
        authority: Option<Fingerprint>,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Pin peers' keys, as they read them out: for these names no other key is accepted, whoever has signed it.
    Pin {
        /// A peer and its fingerprint, such as coordinator/shop=ABCD-EFGH-IJKL-MNOP-QRST-UV23.
        #[arg(value_name = "ROLE/NAME=FINGERPRINT", required = true)]
        pins: Vec<Pin>,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Show this side's identity and the fingerprints to read out, or what a certificate of another PKI says.
    Show {
        /// A certificate to show instead.
        #[arg(value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
}

/// What whoever keeps the authority does.
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Create a private authority, and the coordinator's own key and certificate.
    Init {
        /// The coordinator's name.
        #[arg(long, value_name = "NAME")]
        name: PartyName,
        /// Days for which the coordinator's certificate is valid.
        #[arg(long, default_value_t = 365)]
        days: i64,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Create an authority and the keys and certificates of all sides, unless they exist, and renew what ends soon: for a
    /// single host on which one person runs all sides.
    Provision {
        /// The coordinator's name.
        #[arg(long, value_name = "NAME")]
        name: PartyName,
        /// Each other side with the folder of its identity, such as party/bank=/srv/bank/identity.
        #[arg(value_name = "ROLE/NAME=FOLDER", required = true)]
        sides: Vec<ProvisionedSide>,
        /// Days for which the certificates are valid.
        #[arg(long, default_value_t = 365)]
        days: i64,
        /// The folder of the authority and of the coordinator's identity.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Sign a request, and write the file to send back.
    Sign {
        /// The file that `identity request` wrote.
        #[arg(value_name = "REQUEST")]
        request: PathBuf,
        /// The fingerprint that its sender has read out; without it, compare the one that is printed.
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: Option<Fingerprint>,
        /// The role to sign for; needed for another coordinator.
        #[arg(long, value_name = "ROLE", value_parser = role)]
        role: Option<Role>,
        /// Days for which the certificate is valid.
        #[arg(long, default_value_t = 365)]
        days: i64,
        /// The file to write; absent: ROLE-NAME.certificate.pem beside the request.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Make the key and certificate of a side on this machine, in one step.
    Issue {
        /// The name to issue a certificate for, such as client/app or party/bank.
        #[arg(value_name = "ROLE/NAME")]
        who: Identity,
        /// The folder for its key and certificate.
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
        /// Days for which the certificate is valid.
        #[arg(long, default_value_t = 365)]
        days: i64,
        /// Where the authority's files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Revoke all certificates of a name. Its open connections end within seconds.
    Revoke {
        /// The name to revoke, such as party/bank.
        #[arg(value_name = "ROLE/NAME")]
        who: Identity,
        /// Why, in one line that stays in the issuance file.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// List all certificates that were signed, and the end of the revocation list.
    List {
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Sign certificates of the same keys with new dates, and with --list only the revocation list.
    Renew {
        /// The names to renew certificates of, such as party/bank.
        #[arg(value_name = "ROLE/NAME")]
        who: Vec<Identity>,
        /// Write a new revocation list, with a new end.
        #[arg(long)]
        list: bool,
        /// Days for which the certificates are valid.
        #[arg(long, default_value_t = 365)]
        days: i64,
        /// Where the files are.
        #[command(flatten)]
        folder: FolderArgs,
    },
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_: IdentityError| "expected party, coordinator or client".to_string())
}

impl HolderCommand {
    /// Does it, and says on standard output what was done and what comes next. `program` is the command's first word, and
    /// `usual` the role of whoever says none.
    ///
    /// # Errors
    /// What is wrong and what mends it.
    pub fn run(&self, program: &str, usual: Role) -> Result<(), CommandError> {
        match self {
            Self::Request { name, role, new_key, folder } => {
                let identity = Identity::new(role.unwrap_or(usual), folder.name(name.as_ref())?);
                request(folder, &identity, *new_key, program)
            }
            Self::Accept { answer, authority, folder } => {
                let accepted = holder::accept(&folder.places()?, answer, *authority, None)?;
                let key = if accepted.new_key { "the new key" } else { "the key" };
                say!(
                    "accepted: {} until {}, with {key} {}",
                    accepted.identity,
                    accepted.until,
                    accepted.fingerprint
                );
                if accepted.identity.role == Role::Party {
                    say!(
                        "to accept one coordinator only, name it in [identity] of the config, and pin the key that it read out:"
                    );
                    say!("  coordinator = \"NAME\"");
                    say!("  {program} identity pin coordinator/NAME=FINGERPRINT{}", folder.option());
                }
                Ok(())
            }
            Self::Pin { pins, folder } => {
                let path = folder.pins()?;
                let mut known = Pins::read(&path)?;
                pins.iter().for_each(|pin| known.add(pin));
                known.write(&path)?;
                say!("{} pins {} of peers", path.display(), counted(known.len(), "key"));
                Ok(())
            }
            Self::Show { certificate: Some(certificate), .. } => show_certificate(certificate),
            Self::Show { certificate: None, folder } => show(&folder.places()?),
        }
    }
}

fn request(
    folder: &FolderArgs,
    identity: &Identity,
    new_key: bool,
    program: &str,
) -> Result<(), CommandError> {
    let places = folder.places()?;
    let requested = holder::request(&places, identity, new_key)?;
    let key = if requested.new_key { "a new key" } else { "the existing key" };
    say!("{identity} with {key}: {}", requested.fingerprint);
    say!("send {} to the coordinator, who signs it:", requested.request.display());
    let sent = IdentityPaths::in_folder(Path::new("")).request(identity);
    let role = if identity.role == Role::Coordinator { " --role coordinator" } else { "" };
    say!(
        "  coordinator identity sign {} --config FILE --fingerprint {}{role}",
        sent.display(),
        requested.fingerprint
    );
    say!(
        "read the fingerprint to the coordinator's operator over another channel, such as the phone, and install the \
         certificate that you get back:"
    );
    let told = if places.authority.exists() { "" } else { " --authority FINGERPRINT" };
    say!("  {program} identity accept {}{}{told}", answer_name(identity), folder.option());
    Ok(())
}

/// What a certificate says, for a table of names.
fn show_certificate(path: &Path) -> Result<(), CommandError> {
    let bytes = pem::bytes(path, CERTIFICATE)?;
    let certificates = pem::certificates(&bytes, path, CERTIFICATE)?;
    for certificate in &certificates {
        let facts = Facts::of_file(certificate, path, CERTIFICATE)?;
        let what = if facts.is_authority { "an authority" } else { "a certificate" };
        say!(
            "{what}, serial {}, valid from {} to {}",
            facts.serial,
            date(facts.not_before_s),
            date(facts.not_after_s)
        );
        say!("  key {}", facts.fingerprint);
        facts.uris.iter().for_each(|uri| say!("  {:?}", format!("uri:{uri}")));
        facts.dns.iter().for_each(|dns| say!("  {:?}", format!("dns:{dns}")));
        facts.common_names.iter().for_each(|name| say!("  {:?}", format!("cn:{name}")));
    }
    Ok(())
}

fn show(places: &IdentityPaths) -> Result<(), CommandError> {
    if places.certificate.exists() {
        let facts = Facts::of_first_in(&places.certificate, CERTIFICATE)?;
        let who = crate::Naming::default().identity(&facts);
        let who =
            who.map_or_else(|nameless| format!("no identity known here ({nameless})"), |who| who.to_string());
        say!("{who}, valid until {}", date(facts.not_after_s));
    }
    say!("key        {}", holder::key_fingerprint(&places.key)?);
    if places.next_key.exists() {
        say!("next key   {}", holder::key_fingerprint(&places.next_key)?);
    }
    if places.authority.exists() {
        let bytes = pem::bytes(&places.authority, AUTHORITY)?;
        for certificate in pem::certificates(&bytes, &places.authority, AUTHORITY)? {
            let facts = Facts::of_file(&certificate, &places.authority, AUTHORITY)?;
            say!("authority  {}", facts.fingerprint);
        }
    }
    Ok(())
}

impl AuthorityCommand {
    /// Whose certificates it takes back, and the config that it was told of; `None` for every other command.
    pub fn revokes(&self) -> Option<(&Identity, Option<&Path>)> {
        match self {
            Self::Revoke { who, folder, .. } => Some((who, folder.config())),
            _ => None,
        }
    }

    /// Does it, and says on standard output what was done and what comes next.
    ///
    /// # Errors
    /// What is wrong and what mends it.
    pub fn run(&self) -> Result<(), CommandError> {
        match self {
            Self::Init { name, days, folder } => init(&folder.path()?, name, *days),
            Self::Provision { name, sides, days, folder } => {
                let folder = folder.path()?;
                if !folder.join("authority-key.pem").exists() {
                    init(&folder, name, *days)?;
                }
                provision(&folder, name, sides, *days)
            }
            Self::Sign { request, fingerprint, role, days, out, folder } => {
                let options = SigningOptions { days: *days, fingerprint: *fingerprint, role: *role };
                sign(folder, request, &options, out.as_deref())
            }
            Self::Issue { who, into, days, folder } => {
                let mut authority = Authority::open(&folder.path()?)?;
                let accepted = issue(&mut authority, &IdentityPaths::in_folder(into), who, *days)?;
                say!("issued {who} in {} (valid until {})", into.display(), accepted.until);
                say!("its key: {}", accepted.fingerprint);
                Ok(())
            }
            Self::Revoke { who, reason, folder } => {
                let mut authority = Authority::open(&folder.path()?)?;
                let count = authority.revoke(who, reason)?;
                say!(
                    "revoked {} of {who}, in revocation list {}",
                    counted(count, "certificate"),
                    authority.issued().list_number
                );
                for other in authority.issued().sharing_keys_with(who, now_s()) {
                    say!(
                        "{other} has a valid certificate of the same key: if others may have that key, revoke it as well:"
                    );
                    say!("  coordinator identity revoke {other} --reason TEXT{}", folder.option());
                }
                Ok(())
            }
            Self::List { folder } => list(&folder.path()?),
            Self::Renew { who, list, days, folder } => {
                if who.is_empty() && !list {
                    return Err(CommandError::Nothing);
                }
                renew(&folder.path()?, who, *days)
            }
        }
    }
}

/// Begins a private authority in `folder`, with the own key and certificate of the coordinator `name`.
///
/// # Errors
/// If there is one already, or a file cannot be written.
pub fn begin_authority(
    folder: &Path,
    name: &PartyName,
    days: i64,
) -> Result<(Authority, Accepted), CommandError> {
    let mut authority = Authority::create(folder, name)?;
    let identity = Identity::new(Role::Coordinator, name.clone());
    let accepted = issue(&mut authority, &IdentityPaths::in_folder(folder), &identity, days)?;
    Ok((authority, accepted))
}

fn init(folder: &Path, name: &PartyName, days: i64) -> Result<(), CommandError> {
    let (authority, accepted) = begin_authority(folder, name, days)?;
    say!(
        "created the authority in {}; issued {} (valid until {})",
        folder.display(),
        accepted.identity,
        accepted.until
    );
    say!("read these out to the parties over another channel, such as the phone:");
    let coordinator = accepted.identity.to_string();
    let width = coordinator.len();
    say!("  {:<width$}  {}", "authority", authority.fingerprint());
    say!("  {coordinator}  {}", accepted.fingerprint);
    say!(
        "{} is the authority's key, which signs all certificates: keep a copy where nobody else can read it",
        folder.join("authority-key.pem").display()
    );
    Ok(())
}

fn sign(
    folder: &FolderArgs,
    request: &Path,
    options: &SigningOptions,
    out: Option<&Path>,
) -> Result<(), CommandError> {
    if let Some(out) = out
        && out.exists()
    {
        return Err(CommandError::Exists(out.to_path_buf()));
    }
    let mut authority = Authority::open(&folder.path()?)?;
    let (issued, text) = authority.sign(request, options)?;
    let beside = request.with_file_name(answer_name(&issued.identity));
    let out = out.unwrap_or(&beside);
    write_whole(out, text.as_bytes())?;
    say!(
        "{} is signed until {}, with the key {}",
        issued.identity,
        date(issued.not_after_s),
        issued.fingerprint
    );
    if options.fingerprint.is_none() {
        say!(
            "ask its sender over another channel, such as the phone, whether this is the key; if it is not:"
        );
        say!("  coordinator identity revoke {} --reason TEXT{}", issued.identity, folder.option());
    }
    say!(
        "send {} back, and read out the authority's fingerprint: {}",
        out.display(),
        authority.fingerprint()
    );
    Ok(())
}

fn answer_name(identity: &Identity) -> String {
    format!("{}-{}.certificate.pem", identity.role, identity.name)
}

fn list(folder: &Path) -> Result<(), CommandError> {
    let authority = Authority::open(folder)?;
    let issued = authority.issued();
    say!("authority {}", authority.fingerprint());
    say!("revocation list {} is valid until {}", issued.list_number, date(issued.list_until_s));
    for one in &issued.certificates {
        let taken_back = issued.taken_back(&one.fingerprint).filter(|_| one.counts(now_s()));
        let remark = taken_back.map_or_else(String::new, |(whose, at_s)| {
            format!("; that of {whose} with the same key was revoked on {}", date(at_s))
        });
        say!("{}  {}  key {}  {}{remark}", one.identity, one.serial, one.fingerprint, one.state(now_s()));
    }
    Ok(())
}

fn renew(folder: &Path, who: &[Identity], days: i64) -> Result<(), CommandError> {
    let mut authority = Authority::open(folder)?;
    let places = IdentityPaths::in_folder(folder);
    for identity in who {
        let (issued, text) = authority.renew(identity, days)?;
        let until = date(issued.not_after_s);
        let is_own = identity.role == Role::Coordinator
            && holder::key_fingerprint(&places.key).is_ok_and(|own| own == issued.fingerprint);
        if is_own {
            accept_here(&places, authority.fingerprint(), identity, &text)?;
            say!("renewed {identity} (valid until {until}): new connections use it");
            continue;
        }
        let name = answer_name(identity);
        let out = folder.join(&name);
        write_whole(&out, text.as_bytes())?;
        let program = if identity.role == Role::Party { "party" } else { "coordinator" };
        say!("signed {identity} (valid until {until}): send {} to it, which installs it:", out.display());
        say!("  {program} identity accept {name} --config FILE");
    }
    if who.is_empty() {
        authority.write_list()?;
    }
    let issued = authority.issued();
    say!("revocation list {} is valid until {}", issued.list_number, date(issued.list_until_s));
    Ok(())
}
