//! Whose a bearer token is: each kind of token is somebody's to know.
//!
//! Knows: the order in which they are asked, and that what only one of them can know is refused by it alone. Refuses to
//! know: how tokens come to their owners.

use jiff::Timestamp;
use leme_access::Identity;

use super::{ISSUER, NOT_FOR_THEM, Said};
use crate::api::Api;

/// Who somebody is, or why not; nothing if the token is of another kind.
type Looked = Option<Result<Identity, &'static str>>;

/// Those whose tokens are for the API server and for nobody else.
const FOR_US: [fn(&Api, &str) -> Looked; 2] = [listed, bootstrap];

impl Api {
    /// Whose token this is that is good now for one of these audiences, and for which of them.
    pub(crate) fn owner_of<'a>(
        &self,
        token: &str,
        audiences: &[&'a str],
    ) -> Result<(Identity, Vec<&'a str>), &'static str> {
        let own = audiences.iter().copied().find(|one| *one == ISSUER);
        for look in FOR_US {
            if let Some(found) = look(self, token) {
                let own = own.ok_or(NOT_FOR_THEM)?;
                return found.map(|who| (who, vec![own]));
            }
        }
        let (said, audiences) = self.account_of(token, audiences)?;
        Ok((said.identity(), audiences))
    }
}

/// Of the file that the server was started with.
fn listed(api: &Api, token: &str) -> Looked {
    api.listed.owner(token).cloned().map(Ok)
}

/// Of a bootstrap token in `kube-system`.
fn bootstrap(api: &Api, token: &str) -> Looked {
    let (id, secret) = super::bootstrap::parts(token)?;
    let found = api.core_object("secrets", "kube-system", &super::bootstrap::name(id));
    let found = found.ok_or("bootstrap token is not known");
    Some(found.and_then(|found| super::bootstrap::owner(&found, id, secret, Timestamp::now())))
}

impl Said {
    /// Whose token it is.
    pub fn identity(&self) -> Identity {
        match self {
            Said::Bound(claims) => claims.identity(),
            Said::OfSecret(claims) => claims.identity(),
        }
    }
}
