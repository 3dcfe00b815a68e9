//! Looks up host names for the outgoing client and lets only checked addresses through.
//!
//! The connection is made to the very addresses returned here, so there is no second lookup whose answer
//! could differ from the one that was checked. The client does not ask for IP literals: those are
//! checked in [`super::target`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host resolved to an address that may not be called.
#[derive(Debug, thiserror::Error)]
#[error("{address} is not on the public internet")]
pub(super) struct Refusal {
    pub(super) address: IpAddr,
}

/// The operating system's lookup, `/etc/hosts` included.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// A resolver that fails as soon as one of the addresses is not permitted.
///
/// Refusing the host as a whole, rather than dropping the bad addresses, makes a name with mixed answers
/// fail each time and visibly, instead of working whenever the public address happens to be up.
pub(super) struct GuardedResolver {
    pub(super) inner: Arc<dyn Resolve>,
    pub(super) permitted: fn(IpAddr) -> bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let permitted = self.permitted;
        let lookup = self.inner.resolve(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = lookup.await?.collect();
            if let Some(refused) = addresses.iter().find(|address| !permitted(address.ip())) {
                return Err(Refusal {
                    address: refused.ip(),
                }
                .into());
            }
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
