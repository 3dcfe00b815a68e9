//! A PostgreSQL of the benchmark's own, a sink process, and `dropwire serve`.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use dropwire::dev;
use dropwire::pg::connect::Target;
use dropwire::pg::migrate;
use dropwire::pg::server::{EmbeddedOptions, EmbeddedServer};
use tokio_postgres::Client;

pub struct Stage {
    server: EmbeddedServer,
    data_dir: PathBuf,
}

/// A child that ends with its owner.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Stage {
    pub async fn set() -> Self {
        let data_dir = std::env::temp_dir().join(format!("dropwire-bench-{}", std::process::id()));
        let parameters = [("shared_buffers", "512MB"), ("max_wal_size", "4GB")];
        let server = EmbeddedServer::start(EmbeddedOptions {
            data_dir: data_dir.clone(),
            bin_dir: None,
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        })
        .await
        .unwrap();
        let stage = Self { server, data_dir };
        let db = stage.connect("postgres").await;
        let settings = "select 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')";
        println!(
            "{}",
            db.query_one(settings, &[]).await.unwrap().get::<_, String>(0)
        );
        stage
    }

    pub async fn strike(self) {
        self.server.stop().await;
        std::fs::remove_dir_all(&self.data_dir).ok();
    }

    fn target(&self, database: &str) -> Target {
        let mut config = self.server.config();
        config.dbname(database);
        Target::from_config(config)
    }

    pub async fn connect(&self, database: &str) -> Client {
        self.target(database).connect().await.unwrap()
    }

    /// A fresh, migrated database.
    pub async fn database(&self, name: &str) -> Client {
        let admin = self.connect("postgres").await;
        admin
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .await
            .unwrap();
        admin
            .batch_execute(&format!("create database {name}"))
            .await
            .unwrap();
        migrate::run(&self.target(name)).await.unwrap();
        self.connect(name).await
    }

    /// `dropwire serve` over a database.
    pub fn serve(&self, database: &str) -> Process {
        let config = self.server.config();
        let tokio_postgres::config::Host::Unix(socket) = &config.get_hosts()[0] else {
            unreachable!()
        };
        let user = config.get_user().unwrap();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let url = format!(
            "postgresql://{user}@/{database}?host={}&port={port}",
            socket.display()
        );
        let child = Command::new(env!("CARGO_BIN_EXE_dropwire"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", url)
            .env("SUPABASE_JWT_SECRET", dev::JWT_SECRET)
            .env("DROPWIRE_LISTEN", "127.0.0.1:0")
            .env("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "true")
            .env("DROPWIRE_LOG", "error")
            .spawn()
            .unwrap();
        Process(child)
    }
}

/// Starts the sink; answers its process and base URL.
pub fn start_sink() -> (Process, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("sink")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (Process(child), line.trim().to_owned())
}

/// What the sink says to a GET.
pub async fn ask(url: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).send().await.unwrap().text().await.unwrap()
}
