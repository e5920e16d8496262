//! A party's query on a real cluster: a scheduler and executors as processes of their own, over mutual TLS.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use hashvfl_data::{ColumnsSource, TableError, load};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const RECORDS: i64 = 5_000;

/// A certificate authority, and a certificate of it for `localhost`.
fn certify(folder: &Path, prefix: &str) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let write =
        |name: &str, text: String| fs::write(folder.join(format!("{prefix}{name}.pem")), text).unwrap();
    write("ca", authority.pem());
    write("certificate", certificate.pem());
    write("key", key.serialize_pem());
}

/// A process that is killed when it is no longer needed, and the address that its first line ends with.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(folder: &Path, role: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hashvfl-cluster"));
        command.args([role, "--listen", "127.0.0.1:0", "--host", "localhost"]).args(more);
        for name in ["ca", "certificate", "key"] {
            command.arg(format!("--{name}")).arg(folder.join(format!("{name}.pem")));
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().next_back().expect("an address").to_owned();
        Self { child, address }
    }

    fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Cluster {
    folder: TempDir,
    scheduler: Process,
    executors: Vec<Process>,
}

impl Cluster {
    fn start(executors: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path(), "");
        certify(folder.path(), "other-");
        tables(folder.path());
        let scheduler = Process::start(folder.path(), "scheduler", &["--executor-timeout-s", "5"]);
        let at = format!("localhost:{}", scheduler.port());
        let executor = |_| Process::start(folder.path(), "executor", &["--scheduler", &at, "--parts", "1"]);
        let executors = (0..executors).map(executor).collect();
        Self { folder, scheduler, executors }
    }

    fn here(&self, query: &str) -> ColumnsSource {
        self.source(query, "")
    }

    fn there(&self, query: &str) -> ColumnsSource {
        self.source(query, &self.engine(""))
    }

    /// The cluster, with certificates whose names begin with `prefix`.
    fn engine(&self, prefix: &str) -> String {
        let tls =
            ["ca", "certificate", "key"].map(|name| format!("{name} = \"{prefix}{name}.pem\"")).join(", ");
        format!("engine = \"ballista://localhost:{}\"\ntls = {{ {tls} }}\n", self.scheduler.port())
    }

    fn source(&self, query: &str, more: &str) -> ColumnsSource {
        let text = format!(
            "format = \"sql\"\nquery = {query:?}\nid = \"id\"\nthreads = 3\n{more}\n[tables]\n\
             customers = {{ location = \"customers.csv\" }}\ncalls = {{ location = \"calls/\", format = \"parquet\" }}\n\
             odd = {{ location = \"odd.parquet\" }}\n"
        );
        let mut source: ColumnsSource = toml::from_str(&text).unwrap();
        source.resolve(self.folder.path());
        source
    }

    fn refused(&self, source: &ColumnsSource) -> String {
        let message = load(source).unwrap_err().to_string();
        assert!(!message.contains('\n') && !message.contains("secret"), "{message}");
        message
    }
}

fn tables(folder: &Path) {
    let mut text = String::from("id,age,job\n");
    for id in 0..RECORDS {
        let id = (id * 7919) % RECORDS;
        text += &format!("{id},{},{}\n", 18 + id % 60, ["clerk", "cook", "none"][id as usize % 3]);
    }
    fs::write(folder.join("customers.csv"), text).unwrap();
    fs::create_dir(folder.join("calls")).unwrap();
    for part in 0..4 {
        let customers: Vec<i64> = (0..RECORDS).filter(|id| id % 4 == part).flat_map(|id| [id, id]).collect();
        let seconds: Vec<i64> =
            customers.iter().enumerate().map(|(at, id)| id % 100 + at as i64 % 2).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("customer", Arc::new(Int64Array::from(customers))),
            ("seconds", Arc::new(Int64Array::from(seconds))),
        ];
        parquet(&folder.join(format!("calls/{part}.parquet")), columns);
    }
    let odd: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("a", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
        ("text", Arc::new(StringArray::from(vec!["1", "secret"]))),
    ];
    parquet(&folder.join("odd.parquet"), odd);
}

fn parquet(path: &PathBuf, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const JOIN: &str = "SELECT c.id, c.age, c.job, SUM(s.seconds) AS seconds FROM customers c \
                    JOIN calls s ON s.customer = c.id WHERE c.age > 20 GROUP BY c.id, c.age, c.job";

#[test]
fn a_cluster_gives_the_table_that_one_process_gives() {
    let cluster = Cluster::start(2);
    let (here, there) = (load(&cluster.here(JOIN)).unwrap(), load(&cluster.there(JOIN)).unwrap());
    assert!(here.ids.len() > 4_000, "{}", here.ids.len());
    assert_eq!(here.ids, there.ids);
    assert_eq!((&here.names, &here.contents), (&there.names, &there.contents));
    assert_eq!(here.matrix.values(), there.matrix.values());
    // What the holders of an alignment compare, and that a run asks for a second time.
    let fingerprint = |source: &ColumnsSource| source.visit_ids::<TableError>(|_| Ok(())).unwrap();
    assert_eq!(fingerprint(&cluster.here(JOIN)), fingerprint(&cluster.there(JOIN)));
    assert_eq!(fingerprint(&cluster.there(JOIN)), fingerprint(&cluster.there(JOIN)));
}

#[test]
fn what_records_hold_decides_and_does_not_show() {
    let cluster = Cluster::start(1);
    // The statistics of the file know nothing of NaN.
    let message = cluster.refused(&cluster.there("SELECT id, a FROM odd"));
    assert!(message.contains("\"a\": expected a number, found a value that is not finite"), "{message}");
    let message = cluster.refused(&cluster.there("SELECT id, CAST(text AS INT) AS b FROM odd"));
    assert!(
        message.contains("could not run the query; the logs of its scheduler and executors"),
        "{message}"
    );
    // A query of the session's own is no way round the rule of one SELECT.
    let message = cluster.refused(&cluster.there("CREATE TABLE t AS SELECT * FROM odd"));
    assert!(message.contains("the query: "), "{message}");
}

#[test]
fn whoever_is_not_of_the_authority_is_turned_away() {
    let cluster = Cluster::start(1);
    let message = cluster.refused(&cluster.source(JOIN, &cluster.engine("other-")));
    assert!(message.contains("cannot connect (") && message.contains("signed by tls.ca?"), "{message}");
    // It believes the cluster, and the cluster does not believe it.
    let mixed = cluster.engine("other-").replace("other-ca", "ca");
    let message = cluster.refused(&cluster.source(JOIN, &mixed));
    assert!(message.contains("ballista://localhost"), "{message}");
    let engine = cluster.engine("");
    let without = engine.lines().next().unwrap();
    let message = cluster.refused(&cluster.source(JOIN, without));
    assert!(message.contains("it needs tls = {"), "{message}");
    let message = cluster.refused(&cluster.source(JOIN, &cluster.engine("no-such-")));
    assert!(message.contains("no-such-ca.pem"), "{message}");
    let stranger = Command::new(env!("CARGO_BIN_EXE_hashvfl-cluster"))
        .args(["executor", "--listen", "127.0.0.1:0", "--host", "localhost", "--scheduler"])
        .arg(format!("localhost:{}", cluster.scheduler.port()))
        .args(["ca", "certificate", "key"].iter().flat_map(|name| {
            let file = cluster.folder.path().join(format!("other-{name}.pem"));
            [format!("--{name}"), file.display().to_string()]
        }))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert!(!stranger.status.success() && said.contains("cannot connect to the scheduler"), "{said}");
}

#[test]
fn nobody_waits_for_ever() {
    let mut cluster = Cluster::start(0);
    let limited = format!("{}timeout_s = 3\n", cluster.engine(""));
    let message = cluster.refused(&cluster.source(JOIN, &limited));
    assert!(
        message.contains("no records arrived within timeout_s = 3 s") || message.contains("could not run"),
        "{message}"
    );
    // An executor that comes later serves the next query; when it is killed, that is said.
    let at = format!("localhost:{}", cluster.scheduler.port());
    cluster.executors.push(Process::start(cluster.folder.path(), "executor", &["--scheduler", &at]));
    assert!(load(&cluster.there(JOIN)).unwrap().ids.len() > 4_000);
    cluster.executors.clear();
    let message = cluster.refused(&cluster.source(JOIN, &limited));
    assert!(
        message.contains("no records arrived within timeout_s = 3 s") || message.contains("could not run"),
        "{message}"
    );
    let engine = cluster.engine("");
    drop(cluster.scheduler);
    let mut source = toml::from_str::<ColumnsSource>(&format!(
        "format = \"sql\"\nquery = \"SELECT * FROM odd\"\nid = \"id\"\n{engine}\n[tables]\n\
         odd = {{ location = \"odd.parquet\" }}\n"
    ))
    .unwrap();
    source.resolve(cluster.folder.path());
    let message = load(&source).unwrap_err().to_string();
    assert!(message.contains("is the scheduler running"), "{message}");
}
