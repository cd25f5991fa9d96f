//! Names that name two things: a stream and its tag, a stream and an image, an image and its signature.
//!
//! Knows: where each is divided, and what is said of one that is not. Refuses to know: whether there is such a thing.

use leme_meta::Status;

/// The two parts of a text around the only separator in it.
fn parts(name: &str, separator: char) -> Option<(&str, &str)> {
    let (first, second) = name.split_once(separator)?;
    (!first.is_empty() && !second.is_empty() && !second.contains(separator))
        .then_some((first, second))
}

/// The stream and the tag of an object of a kind.
pub fn stream_and_tag<'a>(kind: &str, name: &'a str) -> Result<(&'a str, &'a str), Status> {
    parts(name, ':')
        .filter(|_| !name.contains('@'))
        .ok_or_else(|| Status::bad_request(format!("{kind}s must be retrieved with <name>:<tag>")))
}

/// The stream of an ImageStreamImage and the id of the image, or how it begins.
pub fn stream_and_image(name: &str) -> Result<(&str, &str), Status> {
    parts(name, '@')
        .ok_or_else(|| Status::bad_request("ImageStreamImages must be retrieved with <name>@<id>"))
}

/// The image of a signature and the signature's own name.
pub fn image_and_signature(name: &str) -> Result<(&str, &str), Status> {
    parts(name, '@').ok_or_else(|| {
        Status::bad_request("ImageSignatures must be accessed with <imageName>@<signatureName>")
    })
}
