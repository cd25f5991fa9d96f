//! Flags of who vouches for people, with upstream's names.

use std::path::PathBuf;

use clap::Args;

/// Issuers of OpenID Connect.
#[derive(Clone, Debug, Args)]
pub struct PeopleFlags {
    /// Tokens of people, one a line: token, user, uid, groups between quotes
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Passwords of people who may log in, as htpasswd writes them (bcrypt, Apache's MD5, SHA-1)
    #[arg(long, value_name = "FILE")]
    pub htpasswd_file: Option<PathBuf>,
    /// AuthenticationConfiguration of issuers of OpenID Connect, in place of the options for a single one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["oidc_issuer_url", "oidc_client_id"])]
    pub authentication_config: Option<PathBuf>,
    /// URL of an issuer of OpenID Connect, whose tokens tell who somebody is
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    pub oidc_issuer_url: Option<String>,
    /// Whom its tokens have to be for
    #[arg(long, value_name = "ID", requires = "oidc_issuer_url")]
    pub oidc_client_id: Option<String>,
    /// The claim that is the user's name
    #[arg(long, default_value = "sub", value_name = "CLAIM", requires = "oidc_issuer_url")]
    pub oidc_username_claim: String,
    /// What is put before it; - for nothing; by default the URL and #, but before email nothing
    #[arg(long, default_value = "", value_name = "TEXT", requires = "oidc_issuer_url")]
    pub oidc_username_prefix: String,
    /// The claim that holds the user's groups
    #[arg(long, default_value = "", value_name = "CLAIM", requires = "oidc_issuer_url")]
    pub oidc_groups_claim: String,
    /// What is put before each of them
    #[arg(long, default_value = "", value_name = "TEXT", requires = "oidc_issuer_url")]
    pub oidc_groups_prefix: String,
    /// What a token has to say besides, as CLAIM=VALUE; may be given several times
    #[arg(long, value_name = "CLAIM=VALUE", requires = "oidc_issuer_url")]
    pub oidc_required_claim: Vec<String>,
    /// How tokens may be signed
    #[arg(
        long,
        default_value = "RS256",
        value_delimiter = ',',
        value_name = "ALG,..",
        requires = "oidc_issuer_url"
    )]
    pub oidc_signing_algs: Vec<String>,
    /// Authority of the issuer's certificate; by default those that the machine believes
    #[arg(long, value_name = "FILE", requires = "oidc_issuer_url")]
    pub oidc_ca_file: Option<PathBuf>,
}
