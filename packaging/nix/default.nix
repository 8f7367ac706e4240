# nix-build packaging/nix, or pkgs.callPackage ./packaging/nix { }. Offers sendmail and its names; a NixOS machine takes
# them with services.mail.sendmailSetuidWrapper off: nothing here wants privileges. The spooler is in module.nix.
{
  lib ? (import <nixpkgs> { }).lib,
  rustPlatform ? (import <nixpkgs> { }).rustPlatform,
  installShellFiles ? (import <nixpkgs> { }).installShellFiles,
  python3 ? (import <nixpkgs> { }).python3,
}:

rustPlatform.buildRustPackage {
  pname = "mailchute";
  version = "0.1.0";

  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = [
    installShellFiles
    python3
  ];

  # The tests run the program against relays on loopback; the sandbox of the build has one.
  doCheck = true;

  postPatch = ''
    patchShebangs packaging/bill
    substituteInPlace packaging/systemd/*/*.service --replace-fail /usr/bin/mailchute $out/bin/mailchute
    substituteInPlace packaging/network/90-mailchute --replace-fail /usr/sbin/sendmail $out/bin/sendmail
  '';

  # The units in the source name /usr/bin/mailchute, which a test wants.
  checkFlags = [ "--skip=every_unit_starts_a_command_that_there_is" ];

  postInstall = ''
    for name in sendmail mailq newaliases; do
      ln -s mailchute $out/bin/$name
    done
    installManPage man/*.[1-8]
    installShellCompletion packaging/completions/{mailchute.bash,_mailchute,mailchute.fish}
    install -Dm644 packaging/systemd/system/mailchute{.socket,.service,-send.service} -t $out/lib/systemd/system
    install -Dm644 packaging/systemd/user/* -t $out/lib/systemd/user
    install -Dm755 packaging/network/90-mailchute -t $out/lib/NetworkManager/dispatcher.d
    packaging/bill $out/share/doc/mailchute
  '';

  meta = {
    description = "sendmail-compatible drop-in that submits mail with your own account";
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = "mailchute";
    platforms = lib.platforms.linux;
  };
}
