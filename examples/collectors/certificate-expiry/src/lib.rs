//! A collector that asks a server when its certificate ends. See README.md.

use tocsin::{Answer, Error, Manifest, Run, Type};

tocsin::config! {
    /// The configuration; its JSON schema is made of it.
    struct Config {
        /// host or host:port; the port is 443 unless it is named
        host: String [minLength: 1],
        /// warn when fewer days are left
        warn_days: f64 [minimum: 0] = 21.0,
        /// fail when fewer days are left
        fail_days: f64 [minimum: 0] = 7.0,
        /// fail when the certificate cannot be verified
        verify: bool = true,
    }
}

fn describe() -> Manifest {
    Manifest::new("certificate-expiry", "1.0.0")
        .doc("How many days the certificate of a server is valid, and whether it can be verified.")
        .author("Tocsin")
        .config::<Config>()
        .sample("days_left", Type::Number, "d", "days until the first certificate of the chain ends")
        .sample("expires", Type::Time, "", "when it ends")
        .sample("verified", Type::Bool, "", "the chain leads to a trusted root and names the host")
        .sample("issuer", Type::Text, "", "who issued the certificate of the server")
        .sample("tls_version", Type::Text, "", "what was spoken, for example TLS 1.3")
        .tcp("*:*")
        .private()
}

fn collect(run: &Run) -> Result<Answer, Error> {
    let config: Config = run.config()?;
    let tls = run.tls_info(&config.host)?;
    let leaf = tls.certificates.first().ok_or("the server showed no certificate")?;

    // A chain is valid as long as each of its certificates is.
    let mut first = leaf;
    for c in &tls.certificates {
        if c.expires()? < first.expires()? {
            first = c;
        }
    }
    let days = (first.expires()? - run.now()) / 86_400.0;
    let days = (days * 100.0).floor() / 100.0;
    let whose = if first.sha256 == leaf.sha256 { "the certificate".to_string() } else { format!("the certificate of {}", first.subject) };

    let answer = if days <= 0.0 {
        Answer::fail(format!("{} ended {:.0} days ago", whose, -days))
    } else if config.verify && !tls.verified {
        Answer::fail(format!("the certificate cannot be verified: {}", tls.verify_error))
    } else if days < config.fail_days {
        Answer::fail(format!("{} ends in {:.0} days, {} are needed", whose, days.floor(), config.fail_days))
    } else if days < config.warn_days {
        Answer::warn(format!("{} ends in {:.0} days, the warning is at {}", whose, days.floor(), config.warn_days))
    } else {
        Answer::pass(format!("{} is valid for {:.0} days", whose, days.floor()))
    };
    Ok(answer
        .sample("days_left", days)
        .sample("expires", &first.not_after)
        .sample("verified", tls.verified)
        .sample("issuer", &leaf.issuer)
        .sample("tls_version", &tls.version))
}

tocsin::module!(describe, collect);
