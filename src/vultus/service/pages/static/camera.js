// One picture from the camera, in a dialog of the page. The stream ends when the dialog closes.

const REASONS = {
  NotAllowedError: "The browser may not use the camera. Allow it in the address bar, or choose a file instead.",
  NotFoundError: "There is no camera on this device. Choose a file instead.",
  NotReadableError: "The camera is in use by another program.",
};

/** Return a picture as a file, or null if the dialog was closed without one. */
export function openCamera() {
  const dialog = document.getElementById("camera");
  const video = document.getElementById("camera-view");
  const take = document.getElementById("camera-take");
  const problem = document.getElementById("camera-problem");
  let stream = null;
  let closed = false;

  const tell = (text) => {
    problem.textContent = text;
    problem.hidden = false;
    video.hidden = take.hidden = true;
  };
  problem.hidden = true;
  video.hidden = take.hidden = false;
  take.disabled = true;
  dialog.showModal();

  return new Promise((done) => {
    let picture = null;
    const onTake = async () => {
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      const blob = await new Promise((ready) => canvas.toBlob(ready, "image/jpeg", 0.92));
      picture = new File([blob], "camera.jpg", { type: "image/jpeg" });
      dialog.close();
    };
    const onClose = () => {
      closed = true;
      stream?.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
      take.removeEventListener("click", onTake);
      done(picture);
    };
    take.addEventListener("click", onTake);
    dialog.addEventListener("close", onClose, { once: true });
    document.getElementById("camera-close").onclick = () => dialog.close();

    if (!navigator.mediaDevices?.getUserMedia) {
      tell("The browser offers the camera only to pages of this machine or over HTTPS. Choose a file instead.");
      return;
    }
    navigator.mediaDevices
      .getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" }, audio: false })
      .then((found) => {
        stream = found;
        if (closed) return found.getTracks().forEach((track) => track.stop());
        video.srcObject = found;
        video.addEventListener("loadeddata", () => (take.disabled = false), { once: true });
      })
      .catch((error) => tell(REASONS[error.name] ?? "The camera cannot be used."));
  });
}
