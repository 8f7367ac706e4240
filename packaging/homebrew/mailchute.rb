# For people who send mail with an account of their own; Homebrew has no business with /usr/sbin/sendmail.
class Mailchute < Formula
  desc "Sendmail-compatible drop-in that submits mail with your own account"
  homepage "https://mailchute.example"
  url "https://mailchute.example/mailchute-0.1.0.tar.gz"
  # Of the release's archive: brew fetch --build-from-source.
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]
  head "https://mailchute.example/mailchute.git", branch: "main"

  depends_on "python@3.13" => :build
  depends_on "rust" => :build
  depends_on :linux

  def install
    system "cargo", "install", *std_cargo_args
    (libexec/"bin").install_symlink bin/"mailchute" => "sendmail"
    (libexec/"bin").install_symlink bin/"mailchute" => "mailq"
    bash_completion.install "packaging/completions/mailchute.bash" => "mailchute"
    zsh_completion.install "packaging/completions/_mailchute"
    fish_completion.install "packaging/completions/mailchute.fish"
    man1.install "man/mailchute.1"
    man5.install "man/mailchute.toml.5"
    man7.install "man/mailchute-security.7"
    system "packaging/bill", doc
  end

  service do
    run [opt_bin/"mailchute", "queue", "flush", "--due"]
    run_type :interval
    interval 300
  end

  def caveats
    <<~EOS
      sendmail and mailq are in #{opt_libexec}/bin. To have programs find them first:
        export PATH="#{opt_libexec}/bin:$PATH"
      To set up an account:
        mailchute setup
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mailchute --version")
    ENV["HOME"] = testpath
    output = pipe_output("#{libexec}/bin/sendmail nobody@example.org 2>&1", "hello\n", 78)
    assert_match "no account is configured", output
  end
end
