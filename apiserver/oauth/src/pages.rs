//! Refuses to know: who looks at a page, and where it is.

/// Text as it may stand in a page, in quotes as well.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

const STYLE: &str = "body{font-family:sans-serif;max-width:40em;margin:4em auto;padding:0 1em;color:#222}\
input[type=text],input[type=password]{display:block;width:100%;padding:.5em;margin:.2em 0 1em;box-sizing:border-box}\
button{padding:.5em 1.5em}code,pre{background:#f2f2f2;padding:.2em .4em;white-space:pre-wrap;word-break:break-all}\
.error{color:#a00}";

fn page(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", text(value))
}

fn wrong(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!("<p class=\"error\">{}</p>\n", text(why)) }
}

/// Where somebody shows their password; `then` is where they go afterwards.
pub fn login(then: &str, csrf: &str, why: &str) -> String {
    let body = format!(
        "{}<form action=\"/login\" method=\"POST\">\n{}{}\
         <label>Username <input type=\"text\" name=\"username\" autocomplete=\"username\" autofocus></label>\n\
         <label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\"></label>\n\
         <button type=\"submit\">Log in</button>\n</form>",
        wrong(why),
        hidden("then", then),
        hidden("csrf", csrf),
    );
    page("Log in", &body)
}

/// Where somebody says that they want to see their token.
pub fn display(code: &str, csrf: &str) -> String {
    let body = format!(
        "<form action=\"/oauth/token/display\" method=\"POST\">\n{}{}<button type=\"submit\">Display Token</button>\n</form>",
        hidden("code", code),
        hidden("csrf", csrf),
    );
    page("Your token", &body)
}

/// A token, and how it is used at a server.
pub fn token(token: &str, server: &str) -> String {
    let (token, server) = (text(token), text(server));
    let body = format!(
        "<h2>Your API token is</h2>\n<code>{token}</code>\n\
         <h2>Log in with this token</h2>\n<pre>oc login --token={token} --server={server}</pre>\n\
         <h2>Use this token directly against the API</h2>\n\
         <pre>curl -H \"Authorization: Bearer {token}\" \"{server}/apis/user.openshift.io/v1/users/~\"</pre>\n\
         <p><a href=\"/oauth/token/request\">Request another token</a></p>"
    );
    page("Your token", &body)
}

/// That something did not work, and where it can be tried again.
pub fn failed(why: &str) -> String {
    let again = "<p><a href=\"/oauth/token/request\">Request another token</a></p>";
    page("That did not work", &format!("{}{again}", wrong(why)))
}

/// What whoever comes to the end of a program's way sees.
pub fn implicit() -> String {
    let body = "<p>A program was to read where this page is: a code or a token stands in its address.</p>\n\
                <p>To see a token of yours, go to <a href=\"/oauth/token/request\">/oauth/token/request</a>.</p>";
    page("Nothing to see here", body)
}

/// What a client wants to be let do.
#[derive(Debug)]
pub struct Approval<'a> {
    /// The client.
    pub client: &'a str,
    /// The user.
    pub user: &'a str,
    /// The scopes, each with what a person is told of it.
    pub scopes: &'a [(String, String)],
    /// Where the user goes afterwards.
    pub then: &'a str,
    /// Against forms of others.
    pub csrf: &'a str,
}

/// Where somebody says whether a client may act for them.
pub fn approve(approval: &Approval<'_>) -> String {
    let Approval { client, user, scopes, then, csrf } = approval;
    let mut body = format!(
        "<p><b>{}</b> asks to act for <b>{}</b>.</p>\n<form action=\"/oauth/authorize/approve\" method=\"POST\">\n",
        text(client),
        text(user),
    );
    for (name, value) in
        [("then", then), ("csrf", csrf), ("client_id", client), ("user_name", user)]
    {
        body.push_str(&hidden(name, value));
    }
    for (scope, told) in *scopes {
        body.push_str(&format!(
            "<p><label><input type=\"checkbox\" name=\"scope\" value=\"{scope}\" checked> <b>{scope}</b><br>{}</label></p>\n",
            text(told),
            scope = text(scope),
        ));
    }
    body.push_str(
        "<button type=\"submit\" name=\"approve\" value=\"1\">Allow</button>\n\
         <button type=\"submit\" name=\"deny\" value=\"1\">Deny</button>\n</form>",
    );
    page("Allow access", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red with text as it is: whoever makes an address that somebody opens puts a script into the page.
    #[test]
    fn what_comes_from_others_is_text() {
        let evil = "\"><script>alert('x')</script>&amp;";
        let scopes = [(evil.to_owned(), evil.to_owned())];
        let approval =
            Approval { client: evil, user: evil, scopes: &scopes, then: evil, csrf: evil };
        let pages = [
            login(evil, evil, evil),
            display(evil, evil),
            token(evil, evil),
            failed(evil),
            approve(&approval),
        ];
        for page in pages {
            assert!(!page.contains("<script") && !page.contains("\">\">"), "{page}");
            assert!(page.contains("&#34;&gt;&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
        }
        assert!(implicit().contains("</html>"));
    }
}
