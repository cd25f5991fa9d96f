//! Columns of users, groups and identities.

use super::super::{shown, text};
use super::joined;
use crate::Column;

pub(crate) const USER: &[Column] = &[
    shown("UID", |user, _| text(user, "/metadata/uid").into()),
    shown("Full Name", |user, _| text(user, "/fullName").into()),
    shown("Identities", |user, _| joined(user, "/identities", ", ").into()),
];

pub(crate) const GROUP: &[Column] =
    &[shown("Users", |group, _| joined(group, "/users", ", ").into())];

pub(crate) const IDENTITY: &[Column] = &[
    shown("IDP Name", |identity, _| text(identity, "/providerName").into()),
    shown("IDP User Name", |identity, _| text(identity, "/providerUserName").into()),
    shown("User Name", |identity, _| text(identity, "/user/name").into()),
    shown("User UID", |identity, _| text(identity, "/user/uid").into()),
];
