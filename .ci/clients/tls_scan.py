#!/usr/bin/env python3
"""Let the scanner sslyze judge the TLS of the Lariat program.

    python3 tls_scan.py PATH/TO/lariat PATH/TO/sslyze

The server must refuse what is weak: old versions, weak suites and curves, compression, early data,
renegotiation, and the attacks that the scanner knows. A scan that does not come to an end is a
failure as well.
"""

import json
import re
import subprocess
import sys
import tempfile

SCANS = [
    *("sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "early_data", "heartbleed", "openssl_ccs"),
    *("robot", "reneg", "compression", "ems", "fallback", "resum", "elliptic_curves"),
]
STRONG = re.compile(r"TLS_(ECDHE_(ECDSA|RSA)_WITH_)?(AES_(128|256)_GCM|CHACHA20_POLY1305)_SHA(256|384)")
CURVES = {"X25519", "secp256r1", "secp384r1"}
WANTED = {
    "tls_compression": {"supports_compression": False},
    "tls_1_3_early_data": {"supports_early_data": False},
    "openssl_ccs_injection": {"is_vulnerable_to_ccs_injection": False},
    "tls_fallback_scsv": {"supports_fallback_scsv": True},
    "heartbleed": {"is_vulnerable_to_heartbleed": False},
    "robot": {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"},
    "session_renegotiation": {
        "is_vulnerable_to_client_renegotiation_dos": False,
        "supports_secure_renegotiation": True,
    },
    "tls_extended_master_secret": {"supports_ems_extension": True},
}


def scan(program, sslyze, folder):
    """Return the results by name."""
    subprocess.run([program, "cert", "--dir", folder], check=True, stdout=subprocess.DEVNULL)
    files = ["--tls-cert", f"{folder}/lariat-cert.pem", "--tls-key", f"{folder}/lariat-key.pem"]
    command = [program, "serve", "--listen", "127.0.0.1:0", *files]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline())[0]
        options = [f"--{name}" for name in SCANS]
        report = f"{folder}/report.json"
        command = [sslyze, "--sni", "localhost", "--mozilla_config", "disable", "--json_out", report, *options, address]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
        if server.poll() is not None:
            sys.exit(f"the server has ended with status {server.returncode}")
    finally:
        server.kill()
        server.wait()
    with open(report) as file:
        (result,) = json.load(file)["server_scan_results"]
    return {name: scan for name, scan in result["scan_result"].items() if scan["status"] != "NOT_SCHEDULED"}


def main():
    program, sslyze = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        results = scan(program, sslyze, folder)
    problems = [f"{name}: {result['error_trace']}" for name, result in results.items() if not result["result"]]
    if len(results) != len(SCANS):
        problems.append(f"{len(results)} of {len(SCANS)} scans")
    found = {name: result["result"] for name, result in results.items() if result["result"]}
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"]:
        suites = found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        accepted = [suite["cipher_suite"]["name"] for suite in suites]
        is_new = version in ("tls_1_2", "tls_1_3")
        if bool(accepted) != is_new or not all(map(STRONG.fullmatch, accepted)):
            problems.append(f"{version}: it accepts {accepted}")
        print(f"{version}: {', '.join(accepted) or 'refused'}")
    for name, wanted in WANTED.items():
        got = {key: found[name].get(key) for key in wanted}
        if got != wanted:
            problems.append(f"{name}: {found[name]}")
    curves = {curve["name"] for curve in found["elliptic_curves"]["supported_curves"]}
    if curves != CURVES:
        problems.append(f"curves: {curves}")
    resumed = found["session_resumption"]["session_id_resumption_result"]
    print(f"curves: {', '.join(sorted(curves))}; resumption of TLS 1.2 by identifier: {resumed}")
    print("\n".join(problems) or f"{len(results)} scans, nothing weak")
    sys.exit(1 if problems else 0)


main()
