//! The real binary as a process, with an environment of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// Longest wait for the program to say or do something, a first start on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);

static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);

/// A place below /tmp that does not exist yet; removed with whatever is in it.
pub struct TempDir(PathBuf);

impl TempDir {
    /// What its name begins with; the process's id and a number follow.
    pub const PREFIX: &str = "dropwire-run-";

    /// A new name. Directly below /tmp, where the server's unprivileged user gets to.
    pub fn new() -> Self {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        Self(PathBuf::from(format!(
            "/tmp/{}{}-{number}",
            Self::PREFIX,
            std::process::id()
        )))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its path as text.
    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // It may never have come to be.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What a run of the program left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs the program to its end, with nothing in its environment but `variables` and a search path.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
    // Whoever forgets --data-dir does not touch this machine's own.
    let nowhere = TempDir::new();
    let output = command(arguments, &[("DROPWIRE_DATA_DIR", nowhere.text())], variables).output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("the program does not end")
        .unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(arguments: &[&str], defaults: &[(&str, &str)], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropwire"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    command
        .envs(defaults.iter().copied())
        .envs(variables.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The program while it runs. Killed when dropped.
pub struct Running {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    /// Starts the program in a process group of its own, as a shell does.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(arguments, &[], variables);
        let mut child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits until standard output has `text`; answers all of it.
    pub async fn wait_for(&mut self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let said = self.stdout.lock().unwrap().clone();
            if said.contains(text) {
                return said;
            }
            let ended = self.child.try_wait().unwrap();
            let patient = began.elapsed() < PATIENCE && ended.is_none();
            assert!(patient, "no {text:?}, {ended:?}: {said}\n{}", self.errors());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until standard error has `text`; answers all of it.
    pub async fn wait_for_error(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let said = self.errors();
            if said.contains(text) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "no {text:?}: {said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it wrote to standard error so far.
    pub fn errors(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Most memory that it has had resident so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal to the program alone, and lets it run on.
    pub fn send(&self, signal: Signal) {
        let process = Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        kill(process, signal).unwrap();
    }

    /// Sends a signal to the whole process group, as a terminal does on Ctrl-C; answers how the program ended.
    pub async fn signal(mut self, signal: Signal) -> ExitStatus {
        let group = Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        killpg(group, signal).unwrap();
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("the program does not end")
            .unwrap()
    }
}

fn collect(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    tokio::spawn(async move {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            into.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
    });
    text
}

/// Process ids of whatever has `text` in its command line.
pub fn processes_with(text: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that ends meanwhile has no command line.
    let has = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    ids.filter(has).collect()
}
