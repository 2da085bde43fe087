"""Makes keys and signs a token with each algorithm, as another implementation does.

Writes the public keys to a folder; prints the tokens as JSON, by algorithm.
"""

import json
import pathlib
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

folder = pathlib.Path(sys.argv[1])
secret = (folder / "secret").read_bytes()
claims = {"iss": "https://id.example", "aud": "sse", "sub": "shop", "exp": int(time.time()) + 600}
pairs = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
for name, pair in pairs.items():
    pem = pair.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.pem").write_bytes(pem)
signers = {"HS": secret, "RS": pairs["rsa"], "PS": pairs["rsa"]}
tokens = {}
for family, key in signers.items():
    for bits in ("256", "384", "512"):
        tokens[family + bits] = jwt.encode(claims, key, algorithm=family + bits)
tokens["ES256"] = jwt.encode(claims, pairs["p256"], algorithm="ES256")
tokens["ES384"] = jwt.encode(claims, pairs["p384"], algorithm="ES384")
tokens["EdDSA"] = jwt.encode(claims, pairs["ed25519"], algorithm="EdDSA")
print(json.dumps(tokens))
