//! A throw-away PostgreSQL for the tests of this crate: one per test process, a database per test.
//!
//! The server hangs off a shell that reads the test process' end of a pipe. When the process ends, however it ends,
//! the pipe closes, and the shell stops the server and removes its files.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::unistd::{User, getuid};
use tokio_postgres::Config;

use super::connect::Target;

const KEEPER: &str = r#"
    "$1/postgres" -D "$2/data" -k "$2" >"$2/log" 2>&1 </dev/null &
    server=$!
    cat >/dev/null
    kill -QUIT "$server"
    wait "$server"
    rm -rf "$2"
"#;

/// Lets the superuser in and asks everybody else for a password, so that passwords are put to the test.
const HBA: &str = "
    local all postgres              trust
    host  all postgres 127.0.0.1/32 trust
    local all all                   scram-sha-256
    host  all all      127.0.0.1/32 scram-sha-256
";

/// Creates the three roles that requests take on, if another test has not.
pub(crate) const ROLES: &str = "
    do $$
    declare
      wanted text;
    begin
      foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
        begin
          execute format('create role %I nologin noinherit', wanted);
        exception when duplicate_object or unique_violation then
        end;
      end loop;
    end
    $$";

/// A running server; it ends with this value, or with the process.
pub(crate) struct Cluster {
    directory: PathBuf,
    port: u16,
    keeper: Child,
}

/// The server that most tests share.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(5432, "listen_addresses = ''", &[]));
    &SHARED
}

impl Cluster {
    /// Starts a server with these lines in its configuration and these files in its data directory.
    pub(crate) fn start(port: u16, settings: &str, files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/tmp/dropwire-test-{}-{count}", std::process::id()));
        let owner = getuid()
            .is_root()
            .then(|| User::from_name("postgres").unwrap().unwrap());
        fs::create_dir(&directory).unwrap();
        if let Some(owner) = &owner {
            chown(&directory, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir("/").process_group(0).stdout(Stdio::null());
            if let Some(owner) = &owner {
                command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
            }
            command
        };
        let bin = bin_directory();
        let data = directory.join("data");
        let made = command(&bin.join("initdb"))
            .args([
                "-N",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-D",
            ])
            .arg(&data)
            .status();
        assert!(made.unwrap().success(), "initdb failed");

        let always = "fsync = off\nfull_page_writes = off\nmax_connections = 50\n";
        let settings = format!("{always}port = {port}\n{settings}\n");
        fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        for (name, text) in files {
            let file = data.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            if let Some(owner) = &owner {
                chown(&file, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
            }
        }
        let keeper = command(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .args([&bin, &directory])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let cluster = Self {
            directory,
            port,
            keeper,
        };
        cluster.wait();
        cluster
    }

    /// Names a file beside the server's data, which goes away with it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Creates a database with an awkward name and reaches it as the superuser.
    pub(crate) async fn database(&self) -> Target {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(r#"Mixed "Case {}"#, COUNT.fetch_add(1, Ordering::Relaxed));
        self.copy("template1", &name).await
    }

    /// Copies a database that nobody is connected to.
    pub(crate) async fn copy(&self, template: &str, name: &str) -> Target {
        let admin = self.target("postgres").connect().await.unwrap();
        let quoted = |name: &str| name.replace('"', "\"\"");
        let sql = format!(
            "create database \"{}\" template \"{}\"",
            quoted(name),
            quoted(template)
        );
        admin.batch_execute(&sql).await.unwrap();
        self.target(name)
    }

    /// Reaches a database as the superuser, through the socket.
    pub(crate) fn target(&self, database: &str) -> Target {
        let mut config = Config::new();
        config
            .host_path(&self.directory)
            .port(self.port)
            .user("postgres")
            .dbname(database);
        Target::from_config(config)
    }

    fn wait(&self) {
        let pid_file = self.directory.join("data/postmaster.pid");
        for _ in 0..1200 {
            if fs::read_to_string(&pid_file)
                .is_ok_and(|text| text.lines().nth(7).map(str::trim) == Some("ready"))
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!(
            "PostgreSQL did not start: {}",
            fs::read_to_string(self.directory.join("log")).unwrap_or_default()
        );
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// Finds the newest server of Debian's layout, else the one on the path.
fn bin_directory() -> PathBuf {
    let majors = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = majors
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| bin.join("postgres").exists())
        .max();
    newest.map_or_else(
        || {
            let found = Command::new("pg_config")
                .arg("--bindir")
                .output()
                .expect("PostgreSQL is not installed");
            PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
        },
        |(_, bin)| bin,
    )
}
