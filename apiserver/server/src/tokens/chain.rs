//! Whose a bearer token is: each kind of token is somebody's to know.
//!
//! Knows: the order in which they are asked, and that what only one of them can know is refused by it alone. Refuses to
//! know: how tokens come to their owners.

use std::borrow::Cow;
use std::path::Path;

use jiff::Timestamp;
use leme_access::Identity;
use leme_oidc::Issuers;

use super::listed::Listed;
use super::{ISSUER, NOT_FOR_THEM, Said};
use crate::api::Api;
use crate::openshift::oauth::bearer::Bearers;

/// Who somebody is, or why not; nothing if the token is of another kind.
type Looked = Option<Result<Identity, Cow<'static, str>>>;

/// Those whose tokens are for the API server and for nobody else.
const FOR_US: [fn(&Api, &str) -> Looked; 4] = [listed, bootstrap, oauth, vouched];

impl Api {
    /// Whose token this is that is good now for one of these audiences, and for which of them.
    pub(crate) fn owner_of<'a>(
        &self,
        token: &str,
        audiences: &[&'a str],
    ) -> Result<(Identity, Vec<&'a str>), Cow<'static, str>> {
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
    api.known.listed.owner(token).cloned().map(Ok)
}

/// Of a bootstrap token in `kube-system`.
fn bootstrap(api: &Api, token: &str) -> Looked {
    let (id, secret) = super::bootstrap::parts(token)?;
    let found = api.core_object("secrets", "kube-system", &super::bootstrap::name(id));
    let found = found.ok_or("bootstrap token is not known");
    let owner =
        found.and_then(|found| super::bootstrap::owner(&found, id, secret, Timestamp::now()));
    Some(owner.map_err(Cow::from))
}

/// Of somebody whom an issuer of OpenID Connect vouches for.
fn vouched(api: &Api, token: &str) -> Looked {
    let owner = api.known.issuers.owner(token, Timestamp::now().as_second())?;
    Some(owner.map_err(Cow::from))
}

/// Of a user who has logged in.
fn oauth(api: &Api, token: &str) -> Looked {
    api.known.bearers.identity(&api.cache, token).map(|found| found.map_err(Into::into))
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

/// Those who are known by what the server was started with.
pub(crate) struct Known {
    /// Tokens of users who have logged in.
    bearers: Bearers,
    listed: Listed,
    issuers: Issuers,
}

impl Known {
    /// Those of a file of tokens, and those for whom others vouch; nobody may speak for this server itself.
    ///
    /// # Errors
    /// When somebody does, or something cannot be read.
    pub fn of(file: Option<&Path>, issuers: Option<leme_oidc::Config>) -> Result<Known, String> {
        let issuers = issuers.map_or_else(|| Ok(Issuers::default()), Issuers::new)?;
        if issuers.has(ISSUER) {
            return Err(format!("issuer {ISSUER}: it is the one of service accounts"));
        }
        Ok(Known { listed: Listed::of(file)?, bearers: Bearers::default(), issuers })
    }

    /// Gets what it takes to know a token.
    pub async fn prepare(&self, token: &str) {
        self.issuers.prepare(token).await;
    }
}
