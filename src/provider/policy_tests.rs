use super::*;

fn policy(loopback: bool, patterns: &[&str]) -> BaseUrlPolicy {
    BaseUrlPolicy { loopback, patterns: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect() }
}

fn permits(policy: &BaseUrlPolicy, url: &str, address: &str) -> bool {
    policy.permits(&Url::parse(url).unwrap(), address.parse().unwrap())
}

#[test]
fn base_urls_are_completed() {
    use ProviderKind::{Google, Ollama, OpenAiCompatible};
    for (kind, given, completed) in [
        (OpenAiCompatible, "http://h:8080", "http://h:8080/v1/"),
        (OpenAiCompatible, "http://h:8080/", "http://h:8080/v1/"),
        (OpenAiCompatible, "http://h:8080/v1", "http://h:8080/v1/"),
        (OpenAiCompatible, " http://h:8080/v1/ ", "http://h:8080/v1/"),
        (OpenAiCompatible, "http://h/v1/chat/completions", "http://h/v1/"),
        (OpenAiCompatible, "https://x.openai.azure.com/openai/v1", "https://x.openai.azure.com/openai/v1/"),
        (Google, "https://h", "https://h/v1beta/"),
        (Ollama, "http://h:11434/v1/", "http://h:11434/"),
        (Ollama, "http://h:11434", "http://h:11434/"),
    ] {
        assert_eq!(parse_base_url(kind, given).map(String::from), Ok(completed.to_owned()), "{given}");
    }
    for (given, refused) in [
        ("", BaseUrlRefused::NotHttp),
        ("h:8080", BaseUrlRefused::NotHttp),
        ("file:///etc/passwd", BaseUrlRefused::NotHttp),
        ("http://user:pw@h/v1", BaseUrlRefused::Decorated),
        ("http://h/v1?key=1", BaseUrlRefused::Decorated),
        ("http://h/v1#x", BaseUrlRefused::Decorated),
    ] {
        assert_eq!(parse_base_url(OpenAiCompatible, given), Err(refused), "{given}");
    }
}

#[test]
fn nothing_is_permitted_by_default() {
    let none = BaseUrlPolicy::default();
    assert!(!permits(&none, "http://127.0.0.1", "127.0.0.1"));
    assert_eq!(none.check(ProviderKind::OpenAiCompatible, "http://localhost:1"), Err(BaseUrlRefused::NotAllowed));
}

#[test]
fn loopback_is_all_of_loopback_and_no_more() {
    let loopback = policy(true, &[]);
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(permits(&loopback, "http://localhost", address), "{address}");
    }
    for address in ["10.0.0.1", "8.8.8.8", "0.0.0.0", "::", "169.254.169.254", "192.168.0.1", "fd00::1"] {
        assert!(!permits(&loopback, "http://localhost", address), "{address}");
    }
}

#[test]
fn some_addresses_are_never_permitted() {
    let everything = policy(true, &["*", "0.0.0.0/0", "::/0", "metadata.test"]);
    for address in [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "febf::1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::a9fe:a9fe",
    ] {
        assert!(!permits(&everything, "http://metadata.test", address), "{address}");
    }
    assert!(permits(&everything, "http://metadata.test", "10.0.0.1"));
}

/// Whoever has allowed them is not sent back to `--allow-base-url`.
#[tokio::test]
async fn what_is_never_permitted_is_told_apart() {
    let allowed = policy(true, &["169.254.0.0/16"]);
    for (url, why) in [
        ("http://169.254.169.254/v1", BaseUrlRefused::Forbidden),
        ("http://[fe80::1]/v1", BaseUrlRefused::Forbidden),
        ("http://10.0.0.1/v1", BaseUrlRefused::NotAllowed),
    ] {
        assert_eq!(allowed.check(ProviderKind::OpenAiCompatible, url), Err(why), "{url}");
        assert_eq!(allowed.resolve(&Url::parse(url).unwrap()).await, Err(why), "{url}");
    }
    assert!(!BaseUrlRefused::Forbidden.to_string().contains("--allow-base-url"));
}

#[test]
fn patterns_match_names_ports_schemes_and_networks() {
    for (pattern, url, address, permitted) in [
        ("*", "https://h.test", "8.8.8.8", true),
        ("*", "https://h.test", "10.0.0.1", false),
        ("*", "https://h.test", "127.0.0.1", false),
        ("*", "https://h.test", "fd00::1", false),
        ("*", "https://h.test", "2606:4700::1", true),
        ("https://*", "http://h.test", "8.8.8.8", false),
        ("*.h.test", "https://a.h.test", "8.8.8.8", true),
        ("*.h.test", "https://h.test", "8.8.8.8", false),
        ("*.h.test", "https://evilh.test", "8.8.8.8", false),
        ("*.h.test", "https://a.h.test", "192.168.1.1", false),
        ("llm.lan", "http://llm.lan:8080", "192.168.1.1", true),
        ("LLM.lan:8080", "http://llm.lan:8080", "192.168.1.1", true),
        ("llm.lan:8080", "http://llm.lan:8081", "192.168.1.1", false),
        ("llm.lan:443", "https://llm.lan", "192.168.1.1", true),
        ("https://llm.lan/", "https://llm.lan", "192.168.1.1", true),
        ("10.0.0.0/8", "http://any.test", "10.255.0.1", true),
        ("10.0.0.0/8", "http://any.test", "11.0.0.1", false),
        ("0.0.0.0/0", "http://any.test", "11.0.0.1", true),
        ("0.0.0.0/0", "http://any.test", "fd00::1", false),
        ("fd00::/8", "http://any.test", "fd12::1", true),
        ("192.168.1.5", "http://any.test", "192.168.1.5", true),
        ("192.168.1.5:80", "http://any.test:81", "192.168.1.5", false),
        ("::1", "http://any.test", "::1", true),
    ] {
        assert_eq!(permits(&policy(false, &[pattern]), url, address), permitted, "{pattern} {url} {address}");
    }
}

#[test]
fn patterns_that_are_none_are_refused() {
    for pattern in
        ["", "ftp://h", "h:port", "10.0.0.0/33", "h/path", "a*.test", "*.*.test", "h h", "http://", "*.10.0.0.1"]
    {
        assert_eq!(pattern.parse::<BaseUrlPattern>(), Err(InvalidPattern(pattern.to_owned())), "{pattern}");
    }
}

#[tokio::test]
async fn odd_ways_to_write_an_address_are_seen_through() {
    let loopback = policy(true, &[]);
    for url in ["http://2852039166/", "http://0xa9.0xfe.0xa9.0xfe/", "http://[::ffff:a9fe:a9fe]/", "http://0/"] {
        assert_eq!(loopback.check(ProviderKind::Ollama, url), Err(BaseUrlRefused::Forbidden), "{url}");
        let resolved = loopback.resolve(&Url::parse(url).unwrap()).await;
        assert_eq!(resolved, Err(BaseUrlRefused::Forbidden), "{url}");
    }
    let resolved = loopback.resolve(&Url::parse("http://127.1:8080/").unwrap()).await;
    assert_eq!(resolved, Ok(vec!["127.0.0.1:8080".parse().unwrap()]));
}
