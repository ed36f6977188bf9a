//! Those who are not in the fleet, and bytes that are no messages.

use crate::parties::*;
use link::{Authority, Credentials, Link, LinkError, Revocations, Role, Timeouts, acceptor};
use protocol::{Id, Refused, Reply, Request, encode};
use rustls::crypto::aws_lc_rs;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn lost(reply: Result<Reply, LinkError>) -> bool {
    matches!(reply, Err(LinkError::Lost(_)))
}

#[test]
fn certificates_of_others_or_for_another_role_open_no_connection() {
    let fleet = Fleet::new("strangers", 1, 1000);
    let server = serve(&fleet, fleet.disk());
    // Another fleet's authority, for the same robot.
    let elsewhere = fleet.path("elsewhere");
    let other = Authority::create(&elsewhere).unwrap();
    other.issue(Role::Robot(robot_id(0)), &fleet.path("stranger")).unwrap();
    // It believes our server, and shows its own certificate.
    std::fs::copy(fleet.path("robot-0/authority.pem"), fleet.path("stranger/authority.pem")).unwrap();
    block_on(async {
        let mut ours = fleet.link("robot-0", server.address);
        assert_eq!(ours.ask(&Request::Enrol, Duration::ZERO).await, Ok(Reply::Noted));
        let mut stranger = fleet.link("stranger", server.address);
        let refused = stranger.ask(&Request::Enrol, Duration::ZERO).await;
        assert!(lost(refused.clone()), "{refused:?}");
        // A server's certificate is none for a robot.
        assert!(lost(fleet.link("server", server.address).ask(&Request::Enrol, Duration::ZERO).await));
    });
}

#[test]
fn a_revoked_robot_loses_its_connection_and_gets_no_other_while_the_others_go_on() {
    let fleet = Fleet::new("revoked", 3, 1000);
    let server = serve(&fleet, fleet.disk());
    let authority = Authority::read(&fleet.path("authority")).unwrap();
    block_on(async {
        let mut links: Vec<Link> =
            (0..3).map(|number| fleet.link(&format!("robot-{number}"), server.address)).collect();
        for link in &mut links {
            assert_eq!(link.ask(&Request::Enrol, Duration::ZERO).await, Ok(Reply::Noted));
        }
        authority.revoke(robot_id(2)).unwrap();
        authority.copy_list(&fleet.path("server")).unwrap();
        // Its connection is open until the server accepts by the new list.
        assert_eq!(links[2].ask(&Request::Enrol, Duration::ZERO).await, Ok(Reply::Noted));
        server.renew(&fleet);
        for _ in 0..2 {
            match links[2].ask(&Request::Enrol, Duration::ZERO).await {
                Err(LinkError::Lost(why)) => assert!(why.contains("evoked"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(lost(fleet.link("robot-2", server.address).ask(&Request::Enrol, Duration::ZERO).await));
        for link in &mut links[..2] {
            assert_eq!(link.ask(&Request::Enrol, Duration::ZERO).await, Ok(Reply::Noted));
        }
        // A certificate that is issued again for it is none either.
        authority.issue(Role::Robot(robot_id(2)), &fleet.path("robot-2-again")).unwrap();
        assert!(lost(fleet.link("robot-2-again", server.address).ask(&Request::Enrol, Duration::ZERO).await));
        let question = fleet.link("holder", server.address).ask(&Request::Ask, Duration::ZERO).await;
        assert!(matches!(question, Ok(Reply::Question(_))), "{question:?}");
    });
}

#[test]
fn a_robot_cannot_pose_as_the_server() {
    let fleet = Fleet::new("posing", 2, 1000);
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let posing = Credentials::read(&fleet.path("robot-1")).unwrap();
        let posing = acceptor(&posing, &Revocations::read(&fleet.path("server")).unwrap()).unwrap();
        let task = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            posing.accept(tcp).await.map(|_| ())
        });
        let reply = fleet.link("robot-0", address).ask(&Request::Enrol, Duration::ZERO).await;
        assert!(lost(reply.clone()), "{reply:?}");
        assert!(task.await.unwrap().is_err());
    });
}

#[test]
fn without_a_certificate_or_with_classical_key_agreement_there_is_no_connection() {
    let fleet = Fleet::new("classical", 1, 1000);
    let server = serve(&fleet, fleet.disk());
    let handshake = |groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>, shows: bool| {
        let pem = |name: &str| std::fs::read(fleet.path("robot-0").join(name)).unwrap();
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem("authority.pem")).unwrap()).unwrap();
        let provider = rustls::crypto::CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_root_certificates(roots);
        let config = if shows {
            let certificate = CertificateDer::from_pem_slice(&pem("certificate.pem")).unwrap();
            config
                .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(&pem("key.pem")).unwrap())
                .unwrap()
        } else {
            config.with_no_client_auth()
        };
        block_on(async {
            let tcp = TcpStream::connect(server.address).await.unwrap();
            let name = ServerName::try_from(link::SERVER_NAME).unwrap();
            let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
            tls.write_all(b"POST /v1/ask HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await?;
            let mut reply = [0; 12];
            tls.read_exact(&mut reply).await?;
            std::io::Result::Ok(reply)
        })
    };
    let hybrid = aws_lc_rs::kx_group::X25519MLKEM768;
    assert_eq!(handshake(vec![hybrid], true).unwrap(), *b"HTTP/1.1 409");
    assert!(handshake(vec![hybrid], false).is_err());
    assert!(handshake(vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1], true).is_err());
}

#[test]
fn bytes_that_are_no_message_and_too_many_of_them_are_refused_and_the_server_goes_on() {
    let fleet = Fleet::new("garbage", 1, 1000);
    let server = serve(&fleet, fleet.disk());
    let credentials = Credentials::read(&fleet.path("robot-0")).unwrap();
    let connector = link::connector(&credentials).unwrap();
    let say = |bytes: Vec<u8>| {
        block_on(async {
            let tcp = TcpStream::connect(server.address).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from(link::SERVER_NAME).unwrap();
            let mut tls = connector.connect(name, tcp).await.unwrap();
            // A server that has heard enough closes in the middle.
            let _ = tls.write_all(&bytes).await;
            let mut reply = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(5), tls.read_to_end(&mut reply)).await;
            String::from_utf8_lossy(&reply).into_owned()
        })
    };
    let post = |path: &str, body: &[u8]| {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        say([head.as_bytes(), body].concat())
    };
    let enrol = encode(&Request::Enrol);
    assert!(post("/v1/ask", &enrol).contains(" 200 "));
    let mut seed = 88_172_645_463_325_252u64;
    for len in [0, 1, 7, 100, 5000] {
        let noise: Vec<u8> = (0..len)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        let reply = post("/v1/ask", &noise);
        assert!(reply.contains(" 409 "), "{len}: {reply}");
        say(noise);
    }
    assert!(post("/v1/ask", &vec![0x80; 3 << 20]).contains(" 409 "), "three megabytes");
    assert!(post("/v1/ask", &[&enrol[..], b"x"].concat()).contains(" 409 "));
    assert!(post("/../../etc/passwd", b"").contains(" 409 "));
    assert!(post("/v1/upload/99999999999999999999", b"").contains(" 409 "));
    // A head without an end, and one that claims more than comes.
    say(vec![b'A'; 1 << 20]);
    let head = "PUT /v1/upload/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\nabc";
    say(head.as_bytes().to_vec());
    let mut link = Link::new(&server.address.to_string(), &credentials, Timeouts::default()).unwrap();
    let reply = block_on(async { link.package(Id([1; 32]), 5).await });
    assert_eq!(reply, Err(LinkError::Refused(Refused::NoPackage)));
}
