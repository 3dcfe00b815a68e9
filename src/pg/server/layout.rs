//! The directory on disk: who owns it, what is in it, and the lock that keeps a second Dropwire out.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown,
};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{Gid, Uid, User, getegid, geteuid};
use sha2::{Digest as _, Sha256};

use super::error::ServerError;
use super::process::Launcher;

/// The longest path of a unix socket, in bytes, without the closing zero.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The socket's name inside its directory; the number is the server's port, which names nothing else here.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

/// The user that PostgreSQL runs as: root is refused by PostgreSQL itself.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Whether we are root and have to become this user.
    pub(super) switch: bool,
}

impl Account {
    /// Chooses ourselves, or as root: the owner of an existing cluster, else `postgres`, else `nobody`.
    pub(super) fn choose(data: &Path) -> Result<Self, ServerError> {
        let own = geteuid();
        if !own.is_root() {
            return Ok(Self {
                name: name_of(own),
                uid: own,
                gid: getegid(),
                switch: false,
            });
        }
        if let Ok(metadata) = fs::metadata(data)
            && metadata.uid() != 0
        {
            let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
            return Ok(Self {
                name: name_of(uid),
                uid,
                gid,
                switch: true,
            });
        }
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self {
                name: user.name,
                uid: user.uid,
                gid: user.gid,
                switch: true,
            })
            .ok_or(ServerError::NoUnprivilegedUser)
    }
}

fn name_of(uid: Uid) -> String {
    User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}

/// The directory, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Layout {
    /// The directory itself, without symlinks: it is compared with what other processes were started with.
    pub(super) root: PathBuf,
    _lock: Flock<File>,
}

impl Layout {
    /// Makes the directory where absent and locks it.
    pub(super) fn open(directory: &Path, account: &Account) -> Result<Self, ServerError> {
        let file = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ServerError::File { action, path, source }
        };
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent).map_err(file("make", parent))?;
        }
        // Root keeps the directory and lets the unprivileged user pass through it: a file that root writes in a
        // directory of another user could be turned into a link to anywhere.
        make_directory(directory, if account.switch { 0o711 } else { 0o700 })
            .map_err(file("make", directory))?;
        let root = directory.canonicalize().map_err(file("find", directory))?;
        let lock = lock(&root)?;
        Ok(Self { root, _lock: lock })
    }

    /// Returns the directory of the cluster.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Checks that the user we drop to can enter the directory, by having it try.
    pub(super) async fn check_reachable(
        &self,
        launcher: &Launcher,
        program: &Path,
    ) -> Result<(), ServerError> {
        if !launcher.account.switch {
            return Ok(()); // we hold an open file in it
        }
        // The same program ran in `/` before, so what fails now is the change of directory.
        let enter = async |directory: &Path| {
            launcher
                .command(program)
                .arg("--version")
                .current_dir(directory)
                .output()
                .await
        };
        match enter(&self.root).await {
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                let mut above: Vec<&Path> = self.root.ancestors().collect();
                above.reverse();
                for directory in above {
                    if enter(directory).await.is_err() {
                        let (user, directory) = (launcher.account.name.clone(), directory.to_owned());
                        return Err(ServerError::Unreachable { user, directory });
                    }
                }
                Err(ServerError::Run {
                    program: program.to_owned(),
                    source,
                })
            }
            Err(source) => Err(ServerError::Run {
                program: program.to_owned(),
                source,
            }),
            Ok(_) => Ok(()),
        }
    }

    /// Makes the socket's directory: `run`, or a short one elsewhere when the socket's path would get too long.
    pub(super) fn run_directory(
        &self,
        account: &Account,
        session: Option<&Path>,
    ) -> Result<PathBuf, ServerError> {
        let run = socket_directory(&self.root, session.filter(|_| !account.switch));
        private_directory(&run, account)?;
        Ok(run)
    }
}

/// Chooses the socket's directory. The short one is named by a hash of `root`, so it is the same at every start.
fn socket_directory(root: &Path, session: Option<&Path>) -> PathBuf {
    let fits = |directory: &Path| directory.as_os_str().len() + 1 + SOCKET.len() <= SOCKET_PATH_MAX;
    let run = root.join("run");
    if fits(&run) {
        return run;
    }
    let digest = Sha256::digest(root.as_os_str().as_bytes());
    let name: String = digest
        .iter()
        .take(8)
        .fold("dropwire-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    session
        .filter(|session| session.is_absolute() && session.is_dir())
        .map(|session| session.join(&name))
        .filter(|directory| fits(directory))
        .unwrap_or_else(|| Path::new("/tmp").join(&name))
}

/// Makes a directory that only `account` can enter, or checks that an existing one is such.
pub(super) fn private_directory(path: &Path, account: &Account) -> Result<(), ServerError> {
    let file = |action| {
        let path = path.to_owned();
        move |source| ServerError::File { action, path, source }
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) if account.switch => {
            let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
            lchown(path, Some(uid), Some(gid)).map_err(file("hand over"))?;
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(file("make")(error)),
        _ => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(file("inspect"))?;
    if !metadata.is_dir() || metadata.uid() != account.uid.as_raw() {
        return Err(ServerError::NotOurs {
            path: path.to_owned(),
        });
    }
    if metadata.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(file("protect"))?;
    }
    Ok(())
}

/// Makes one directory with exactly `mode`, whatever the umask; an existing one stays as it is.
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes the lock and leaves our process id in it. The kernel gives it back when we end, however that happens.
fn lock(root: &Path) -> Result<Flock<File>, ServerError> {
    let path = root.join("dropwire.lock");
    let failed = |action| {
        let path = path.clone();
        move |source| ServerError::File { action, path, source }
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&path)
        .map_err(failed("open"))?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
        if errno != nix::errno::Errno::EWOULDBLOCK {
            return failed("lock")(errno.into());
        }
        let mut text = String::new();
        let holder = file
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| text.trim().parse().ok());
        ServerError::InUse {
            data_dir: root.to_owned(),
            holder,
        }
    })?;
    let note = lock
        .set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    note.map_err(failed("write"))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_path_keeps_its_socket_in_run() {
        assert_eq!(
            socket_directory(Path::new("/var/lib/dropwire"), None),
            Path::new("/var/lib/dropwire/run")
        );
    }

    #[test]
    fn a_long_path_gets_a_short_directory_that_stays_the_same() {
        let long = PathBuf::from(format!("/var/{}", "x".repeat(100)));
        let other = PathBuf::from(format!("/var/{}", "y".repeat(100)));

        let chosen = socket_directory(&long, None);
        assert!(
            chosen.starts_with("/tmp") && chosen.as_os_str().len() < 40,
            "{}",
            chosen.display()
        );
        assert_eq!(chosen, socket_directory(&long, None));
        assert_ne!(chosen, socket_directory(&other, None));
        assert!(socket_directory(&long, Some(Path::new("/usr"))).starts_with("/usr"));
        assert!(socket_directory(&long, Some(Path::new("/does/not/exist"))).starts_with("/tmp"));
    }

    #[test]
    fn a_private_directory_that_is_a_link_is_refused() {
        let link = std::env::temp_dir().join(format!("dropwire-link-{}", std::process::id()));
        std::os::unix::fs::symlink("/var", &link).unwrap();
        let account = Account {
            name: String::new(),
            uid: geteuid(),
            gid: getegid(),
            switch: false,
        };

        let refused = private_directory(&link, &account);
        fs::remove_file(&link).unwrap();
        assert!(matches!(refused, Err(ServerError::NotOurs { .. })), "{refused:?}");
    }
}
