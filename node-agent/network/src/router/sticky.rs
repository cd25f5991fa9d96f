//! The cookie that keeps a client with its endpoint. Pure: reads, removes and writes one cookie; refuses to know who the endpoints
//! are beyond a number for each.

use http::header::{self, HeaderMap, HeaderValue};
use std::net::SocketAddr;

/// A number for an endpoint that says nothing of its address: FNV-1a in 128 bits.
pub(super) fn id_of(endpoint: SocketAddr) -> u128 {
    hash(endpoint.to_string().as_bytes())
}

/// The name of the cookie of a Route that names none itself.
pub(super) fn name_of(namespace: &str, route: &str) -> String {
    format!("{:032x}", hash(format!("{namespace}:{route}").as_bytes()))
}

/// FNV-1a: the same in every process and version, which a cookie outlives.
fn hash(bytes: &[u8]) -> u128 {
    let step = |hash: u128, byte: &u8| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)
}

/// Takes the cookie `name` out of a request and gives its endpoint. The application does not see it.
pub(super) fn take(headers: &mut HeaderMap, name: &str) -> Option<u128> {
    let of = |pair: &str| {
        pair.trim()
            .split_once('=')
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    let pairs = |value: &HeaderValue| {
        value.to_str().map(|text| text.split(';').map(str::to_owned).collect::<Vec<_>>())
    };
    let cookies = headers.get_all(header::COOKIE).iter();
    let value =
        cookies.filter_map(|value| pairs(value).ok()).flatten().find_map(|pair| of(&pair))?;
    let kept: Vec<HeaderValue> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookie| match pairs(cookie) {
            Ok(pairs) => {
                let others: Vec<&str> = pairs
                    .iter()
                    .filter(|pair| of(pair).is_none())
                    .map(|pair| pair.trim())
                    .collect();
                HeaderValue::from_str(&others.join("; ")).ok().filter(|value| !value.is_empty())
            }
            // Not text: not ours either.
            Err(_) => Some(cookie.clone()),
        })
        .collect();
    headers.remove(header::COOKIE);
    for cookie in kept {
        headers.append(header::COOKIE, cookie);
    }
    u128::from_str_radix(&value, 16).ok()
}

/// Gives the client the cookie, which says `further` to its browser, and keeps the answer out of shared caches, which would give it to others.
pub(super) fn give(headers: &mut HeaderMap, name: &str, endpoint: u128, further: &str) {
    let cookie = format!("{name}={endpoint:032x}; path=/; HttpOnly{further}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_comes_back_and_goes_no_further() {
        let endpoint: SocketAddr = "10.244.0.2:8080".parse().unwrap();
        let name = name_of("ns", "web");
        let mut answer = HeaderMap::new();
        give(&mut answer, &name, id_of(endpoint), "; Secure");
        let set = answer[header::SET_COOKIE].to_str().unwrap().to_owned();
        let pair = set.split(';').next().unwrap();
        assert!(!set.contains("10.244"), "{set}");

        let mut request = HeaderMap::new();
        request.append(header::COOKIE, format!("a=1; {pair}; b=2").parse().unwrap());
        request.append(header::COOKIE, pair.parse().unwrap());
        assert_eq!(take(&mut request, &name), Some(id_of(endpoint)));
        let left: Vec<_> = request.get_all(header::COOKIE).iter().collect();
        assert_eq!(left, ["a=1; b=2"]);
        assert_eq!(take(&mut request, &name), None);
        assert_ne!(name, name_of("ns", "other"));

        let mut odd = HeaderMap::new();
        odd.append(header::COOKIE, format!("{name}=zz").parse().unwrap());
        assert_eq!(take(&mut odd, &name), None);
        assert!(odd.get(header::COOKIE).is_none());
    }
}
